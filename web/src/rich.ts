// Links and mentions in a text.

import { element } from './dom';

export interface Part {
  text: string;
  href?: string; // of a link
  mention?: 'me' | 'other';
}

const WORD = /[\p{L}\p{N}_]/u;

// partsOf splits a text. Names may have spaces in them, but only the reader's own is known for sure: any
// other mention ends with its word.
export function partsOf(text: string, me: string): Part[] {
  const own = me === '' ? '' : `${me.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')}(?![\\p{L}\\p{N}_])|`;
  const pattern = new RegExp(`https?://[^\\s<>"]+|@(?:${own}[\\p{L}\\p{N}_-]+)`, 'giu');
  const parts: Part[] = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    const before = text[match.index - 1];
    if (before !== undefined && WORD.test(before)) continue; // an address, not a mention
    const part = match[0].startsWith('@') ? mention(match[0], me) : link(match[0]);
    if (part === null) continue;
    if (match.index > end) parts.push({ text: text.slice(end, match.index) });
    parts.push(part);
    end = match.index + part.text.length;
  }
  if (end < text.length) parts.push({ text: text.slice(end) });
  return parts;
}

export const mentions = (parts: Part[]) => parts.some((part) => part.mention === 'me');

function mention(text: string, me: string): Part {
  const own = me !== '' && text.slice(1).toLowerCase() === me.toLowerCase();
  return { text, mention: own ? 'me' : 'other' };
}

// link returns null for what only looks like one, or names a user, which serves to disguise the host.
function link(found: string): Part | null {
  let text = found.replace(/[.,;:!?'*]+$/, '');
  // A bracket that was opened before the link doesn't belong to it.
  if (text.endsWith(')') && !text.includes('(')) text = text.slice(0, -1);
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return null;
  }
  return /^https?:$/.test(url.protocol) && url.username === '' ? { text, href: url.href } : null;
}

// nodesOf makes the nodes of parts.
export function nodesOf(parts: Part[]): Node[] {
  return parts.map((part) => {
    if (part.href !== undefined) {
      const a = element('a', 'link', part.text);
      a.href = part.href;
      a.target = '_blank';
      a.rel = 'noopener noreferrer nofollow';
      return a;
    }
    if (part.mention) return element('mark', `mention ${part.mention}`, part.text);
    return document.createTextNode(part.text);
  });
}
