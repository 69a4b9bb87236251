// Notifications of the system, for mentions while nobody looks.

import { get } from './dom';

const MAX_BODY = 140;

// offerNotifications shows the button that asks for permission, while that is open: browsers want the
// question to follow a click.
export function offerNotifications() {
  const button = get<HTMLButtonElement>('notify');
  const update = () => {
    button.hidden = !('Notification' in window) || Notification.permission !== 'default';
  };
  button.addEventListener('click', () => void Notification.requestPermission().then(update));
  update();
}

export function notify(title: string, body: string) {
  if (!('Notification' in window) || Notification.permission !== 'granted') return;
  try {
    const notification = new Notification(title, { body: body.slice(0, MAX_BODY), icon: '/icon.svg', tag: title });
    notification.addEventListener('click', () => {
      window.focus();
      notification.close();
    });
  } catch {
    // Chrome on Android shows none without a service worker.
  }
}
