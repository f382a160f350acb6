// The one bubble that explains: what has a hint, and points of charts.

import { el } from "./dom.js";

const bubble = el("div.tip", { "aria-hidden": "true", hidden: true });
const tellers = new WeakMap();
let shownFor = null;

/** Have an element explained by what a function returns: a text or nodes, asked when someone points at it. */
export function explain(node, teller) {
  tellers.set(node, teller);
  node.dataset.hint = "";
}

/** Show the bubble near a point of the window. */
export function show(x, y, content, owner) {
  shownFor = owner;
  bubble.replaceChildren(...[content].flat());
  bubble.hidden = false;
  const { offsetWidth: width, offsetHeight: height } = bubble;
  const left = Math.min(Math.max(8, x - width / 2), innerWidth - width - 8);
  const above = y - height - 14;
  bubble.style.transform = `translate(${Math.round(left)}px, ${Math.round(above < 4 ? y + 18 : above)}px)`;
}

/** Take it away; if an owner is given, only when it is the owner's. */
export function hide(owner) {
  if (owner && owner !== shownFor) return;
  shownFor = null;
  bubble.hidden = true;
}

function told(event) {
  const node = event.target.closest?.("[data-hint]");
  const content = node && (tellers.get(node)?.(event) ?? node.dataset.hint);
  if (content) return { node, content };
  hide();
  return null;
}

/** Begin to listen. */
export function start() {
  document.body.append(bubble);
  document.addEventListener("pointermove", (event) => {
    if (event.target.closest?.(".chart")) return;
    const found = told(event);
    if (found) show(event.clientX, event.clientY, found.content, found.node);
  }, { passive: true });
  document.addEventListener("focusin", (event) => {
    if (!event.target.matches(":focus-visible") || event.target.closest(".chart")) return;
    const found = told(event);
    const box = found?.node.getBoundingClientRect();
    if (box) show(box.left + box.width / 2, box.top, found.content, found.node);
  });
  document.addEventListener("focusout", () => hide());
  document.addEventListener("scroll", () => hide(), { passive: true, capture: true });
  document.addEventListener("pointerleave", () => hide());
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
}
