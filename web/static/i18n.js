// The page's words, in the language that the browser asks for.

export const tables = {
  en: {
    "anonymous": "Anonymous",
    "binary": "Binary message, {bytes} bytes",
    "count": "{n} online",
    "count.title": "Connections that listen to this topic now",
    "line.close": "Connection closed (code {code}).",
    "line.close.reason": "Connection closed (code {code}, “{reason}”).",
    "line.error": "Connection error.",
    "line.open": "Connected.",
    "line.unconfirmed": "The server didn’t confirm your last words. They are back in the message box; others may have seen them.",
    "log.jump": "New messages",
    "log.label": "Messages",
    "name.label": "Your name",
    "note.full": "That is the longest a message may be.",
    "note.keys": "Enter sends, Shift+Enter starts a new line",
    "note.long": "Too long to send.",
    "retry": "Try now",
    "send": "Send",
    "status.connecting": "Connecting…",
    "status.offline": "You are offline. Your text stays here until you are back.",
    "status.open": "Connected",
    "status.retrying": "Not connected, trying again (attempt {n}). Your text stays here.",
    "status.stopped": "Not connected",
    "tag.binary": "binary",
    "tag.own": "you",
    "tag.plain": "plain text",
    "text.label": "Message",
  },
  ja: {
    "anonymous": "名無し",
    "binary": "バイナリメッセージ（{bytes} バイト）",
    "count": "接続数 {n}",
    "count.title": "このトピックを現在受信している接続の数",
    "line.close": "接続が閉じられました（コード {code}）。",
    "line.close.reason": "接続が閉じられました（コード {code}、「{reason}」）。",
    "line.error": "接続エラーが発生しました。",
    "line.open": "接続しました。",
    "line.unconfirmed": "最後の発言をサーバーで確認できませんでした。入力欄に戻しましたが、ほかの人には届いている可能性があります。",
    "log.jump": "新着メッセージ",
    "log.label": "メッセージ一覧",
    "name.label": "名前",
    "note.full": "これ以上は入力できません。",
    "note.keys": "Enter で送信、Shift+Enter で改行",
    "note.long": "長すぎるため送信できません。",
    "retry": "今すぐ再接続",
    "send": "送信",
    "status.connecting": "接続しています…",
    "status.offline": "オフラインです。入力内容は残ります。",
    "status.open": "接続済み",
    "status.retrying": "接続が切れています。再接続中（{n} 回目）。入力内容は残ります。",
    "status.stopped": "未接続",
    "tag.binary": "バイナリ",
    "tag.own": "自分",
    "tag.plain": "テキスト",
    "text.label": "メッセージ",
  },
};

// pick returns the first of the preferred languages (BCP 47 tags) that there is
// a table for, and English if there is none. The tag keeps its region: times
// are written differently in en-US and en-GB.
export function pick(preferred) {
  return preferred.find((tag) => /^[\w-]+$/.test(tag) && Object.hasOwn(tables, base(tag))) ?? "en";
}

function base(tag) {
  return tag.split("-")[0].toLowerCase();
}

const locale = pick(navigator.languages);
const words = tables[base(locale)];

// t returns the words for a key, with {param} replaced. A value that itself
// looks like a parameter stays as it is.
export function t(key, params = {}) {
  return words[key].replace(/\{(\w+)\}/g, (_, name) => params[name]);
}

const numbers = new Intl.NumberFormat(locale);
const times = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
const dateTimes = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "medium" });

export const number = (value) => numbers.format(value);
export const time = (date) => times.format(date);
export const dateTime = (date) => dateTimes.format(date);

// translate puts the words into a document whose elements name them with
// data-text, data-label and data-placeholder.
export function translate(document) {
  document.documentElement.lang = base(locale);
  for (const node of document.querySelectorAll("[data-text]")) {
    node.textContent = t(node.dataset.text);
  }
  for (const node of document.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", t(node.dataset.label));
  }
  for (const node of document.querySelectorAll("[data-placeholder]")) {
    node.placeholder = t(node.dataset.placeholder);
  }
}
