// Creates elements. Data becomes a text node or an attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element: el("a.name", {href: "#/"}, "text", child). A property whose value is null or false is left out. */
export function el(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  return filled(document.createElement(tag || "div"), classes, props, children);
}

/** Creates an SVG element in the same way. */
export function svg(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  return filled(document.createElementNS(SVG, tag), classes, props, children);
}

function filled(node, classes, props, children) {
  if (classes.length) node.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "hint") hint(node, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Describes an element: as a tooltip, and for screen readers. */
export function hint(node, text) {
  if (node.dataset.hint === text) return;
  node.dataset.hint = text;
  node.setAttribute("aria-description", text);
}

/** Sets a text only if it differs: an unchanged node needs no layout. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute only if it differs; null removes it. */
export function set(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Sets the children of a node, in this order, and moves as few as possible. */
export function arrange(parent, wanted) {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const child of wanted) {
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
}
