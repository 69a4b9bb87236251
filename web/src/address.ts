// The room is in the page's address: /#room.

const DEFAULT = 'lobby';

// In characters, of which each takes up to four of the 255 bytes that a channel's name may have.
const MAX_ROOM = 60;

export function currentRoom(): string {
  const written = location.hash.slice(1);
  let name = written;
  try {
    name = decodeURIComponent(written);
  } catch {
    // Somebody wrote a % that encodes nothing: then it stands for itself.
  }
  return [...name.trim()].slice(0, MAX_ROOM).join('') || DEFAULT;
}

// goTo changes the address, which the window tells as hashchange. The browser encodes all but what looks
// encoded already.
export function goTo(room: string) {
  location.hash = room.trim().replaceAll('%', '%25');
}
