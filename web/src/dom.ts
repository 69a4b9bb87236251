// The few ways in which the page makes and changes elements.

// get returns an element of index.html.
export function get<E extends HTMLElement = HTMLElement>(id: string): E {
  return document.getElementById(id) as E;
}

// element sets text as text, never as markup: what others wrote passes here.
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K, className: string, text = '',
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

// say sets the text of a live region, unless it is the same: screen readers would repeat it.
export function say(region: HTMLElement, text: string) {
  if (region.textContent !== text) region.textContent = text;
}

// arrange makes an element's children these. What stays keeps its place and with it the focus, as long as the
// order of what stays is the same.
export function arrange(parent: HTMLElement, children: Iterable<HTMLElement>) {
  const wanted = new Set<Element>(children);
  for (const child of [...parent.children]) {
    if (!wanted.has(child)) child.remove();
  }
  let next = parent.firstElementChild;
  for (const child of wanted) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
}

// perFrame returns a function that has work done in the next frame, once, however often it is called. A
// hidden tab has no frames: the work waits until somebody looks.
export function perFrame(work: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}
