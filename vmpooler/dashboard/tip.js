// The tooltip: one for all elements with a hint, and for points of charts.

import { el } from "./dom.js";

const bubble = el("div.tip", { "aria-hidden": "true", hidden: true });
const descriptions = new WeakMap();
let shownFor = null;

/** Gives an element a tooltip. `describe(event)` returns its text or nodes when it is shown. */
export function explain(node, describe) {
  descriptions.set(node, describe);
  node.dataset.hint = "";
}

/** Shows the tooltip near a point of the window. */
export function show(x, y, content, owner) {
  shownFor = owner;
  bubble.replaceChildren(...[content].flat());
  bubble.hidden = false;
  const { offsetWidth: width, offsetHeight: height } = bubble;
  const left = Math.min(Math.max(8, x - width / 2), innerWidth - width - 8);
  const above = y - height - 14;
  bubble.style.transform = `translate(${Math.round(left)}px, ${Math.round(above < 4 ? y + 18 : above)}px)`;
}

/** Hides the tooltip; with an owner, only if it belongs to this owner. */
export function hide(owner) {
  if (owner && owner !== shownFor) return;
  shownFor = null;
  bubble.hidden = true;
}

function hinted(event) {
  const node = event.target.closest?.("[data-hint]");
  const content = node && (descriptions.get(node)?.(event) ?? node.dataset.hint);
  if (content) return { node, content };
  hide();
  return null;
}

/** Adds the tooltip to the page, and its listeners. */
export function start() {
  document.body.append(bubble);
  document.addEventListener("pointermove", (event) => {
    if (event.target.closest?.(".chart")) return;
    const found = hinted(event);
    if (found) show(event.clientX, event.clientY, found.content, found.node);
  }, { passive: true });
  document.addEventListener("focusin", (event) => {
    if (!event.target.matches(":focus-visible") || event.target.closest(".chart")) return;
    const found = hinted(event);
    const box = found?.node.getBoundingClientRect();
    if (box) show(box.left + box.width / 2, box.top, found.content, found.node);
  });
  document.addEventListener("focusout", () => hide());
  document.addEventListener("scroll", () => hide(), { passive: true, capture: true });
  document.addEventListener("pointerleave", () => hide());
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
}
