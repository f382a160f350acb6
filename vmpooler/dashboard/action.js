// Actions on VMs. Each is confirmed in a dialog, which also shows the equivalent curl command.

import { el, say } from "./dom.js";

const API = new URL("../api/v1/", document.baseURI);
const KEPT = "vmpooler token"; // the key in the session storage; the token is stored nowhere else

export const token = () => sessionStorage.getItem(KEPT) ?? "";

/** Whether actions are allowed: there is a token, or none is required. */
export const may = (model) => !model.auth || token() !== "";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The curl command of a request. It names the token's variable, not the token. */
function command({ method, path, body }) {
  const words = ["curl", "-X", method];
  if (token()) words.push("-H", '"X-AUTH-TOKEN: $TOKEN"');
  if (body) words.push("-d", quoted(JSON.stringify(body)));
  return [...words, quoted(new URL(path, API).href)].join(" ");
}

async function send({ method, path, body }) {
  const headers = token() ? { "X-AUTH-TOKEN": token() } : {};
  // With credentials the browser would open its own password dialog after a 401.
  const reply = await fetch(new URL(path, API), { method, headers, credentials: "omit", body: body && JSON.stringify(body) })
    .catch(() => { throw new Error("The service cannot be reached."); });
  const answer = await reply.json().catch(() => ({}));
  if (reply.ok) return answer;
  throw new Error(answer.message ?? answer.failure?.join("; ") ?? REFUSALS[reply.status] ?? `The service answers ${reply.status}.`);
}

const REFUSALS = {
  401: "The token is unknown, or a token is required.",
  403: "The VM belongs to another user.",
  404: "This VM is unknown, or it is not checked out.",
  503: "No VM is ready in this pool. Try again in a moment.",
};

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers offer the clipboard only to pages of localhost and HTTPS. Other pages use the old command.
    const area = button.parentNode.appendChild(el("textarea", { class: "unseen" }, text));
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  say(button, "Copied");
}

function field({ name, label, ...props }) {
  const input = el("input", { name, autocomplete: "off", spellcheck: "false", required: true, ...props });
  return { input, node: el("label", {}, el("span", {}, label), input) };
}

/** Opens a dialog. `request(values)` returns the request to send, `done(reply)` the result to show. */
function ask({ title, about, verb, fields = [], danger = false, request, done }) {
  const made = fields.map(field);
  const values = () => Object.fromEntries(made.map(({ input }) => [input.name, input.value]));
  const code = el("code");
  const copying = el("button.small", { type: "button", onclick: () => copy(code.textContent, copying) }, "Copy");
  const result = el("p.result", { role: "status" });
  const go = el(danger ? "button.danger" : "button.main", { type: "submit" }, verb);
  const leave = el("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const form = el("form", {
    oninput: () => line(),
    onsubmit: async (event) => {
      event.preventDefault();
      go.disabled = true;
      result.className = "result";
      say(result, "Asking…");
      try {
        result.replaceChildren(...[done(await send(request(values())))].flat());
        result.classList.add("good");
        form.replaceChildren(...form.querySelectorAll("h2"), result, el("menu", {}, leave));
        say(leave, "Close");
        leave.focus();
      } catch (error) {
        say(result, error.message);
        result.classList.add("bad");
        go.disabled = false;
      }
    },
  }, el("h2", {}, title), el("p", {}, about), made.map(({ node }) => node),
  el("div.command", {}, el("span", {}, "The same as a command"), code, copying), result, el("menu", {}, leave, go));
  const line = () => { say(code, command(request(values()))); say(copying, "Copy"); };
  line();
  open(form);
  const dialog = form.parentNode;
}

/** Shows a form in a modal dialog. A click on a link closes the dialog. */
function open(form) {
  const dialog = el("dialog", { "aria-label": form.querySelector("h2").textContent, onclose: () => dialog.remove(),
    onclick: (event) => event.target.closest("a") && dialog.close() }, form);
  document.body.append(dialog);
  dialog.showModal();
}

const vmPath = (name, rest = "") => `vm/${encodeURIComponent(name)}${rest}`;
const vmLink = (name) => el("a", { href: `#/vm/${encodeURIComponent(name)}` }, name);

export function checkOut(pool) {
  ask({
    title: `Check out a VM of ${pool}`,
    about: "It is yours until its lifetime ends or you delete it; its replacement is made at once.",
    verb: "Check out",
    request: () => ({ method: "POST", path: vmPath(pool) }),
    done: (reply) => {
      const name = [reply[pool].hostname].flat()[0];
      return ["You have ", vmLink(name), reply.domain ? ` (${name}.${reply.domain})` : "", "."];
    },
  });
}

export function extend(vm, lifetime) {
  ask({
    title: `Lifetime of ${vm}`,
    about: "How many hours it lives, counted from its checkout, before it is destroyed.",
    verb: "Set lifetime",
    fields: [{ name: "hours", label: "Hours", type: "number", min: 1, step: 1, value: lifetime ?? 24 }],
    request: ({ hours }) => ({ method: "PUT", path: vmPath(vm), body: { lifetime: Number(hours) } }),
    done: () => "Its lifetime is set.",
  });
}

export function tag(vm) {
  ask({
    title: `Tag ${vm}`,
    about: "A tag says what a VM is for. One that is there already is overwritten.",
    verb: "Set tag",
    fields: [{ name: "name", label: "Tag", maxlength: 100 }, { name: "value", label: "Value", maxlength: 1024 }],
    request: ({ name, value }) => ({ method: "PUT", path: vmPath(vm), body: { tags: { [name]: value } } }),
    done: () => "The tag is set.",
  });
}

export function snapshot(vm) {
  ask({
    title: `Snapshot of ${vm}`,
    about: "Its disks and memory as they are now, to go back to later. It takes a while.",
    verb: "Take snapshot",
    request: () => ({ method: "POST", path: vmPath(vm, "/snapshot") }),
    done: (reply) => ["It is being taken, under the name ", el("code", {}, reply[vm].snapshot), "."],
  });
}

export function remove(vm) {
  ask({
    title: `Delete ${vm}`,
    about: "The VM and everything on it will be destroyed. This cannot be undone.",
    verb: "Delete",
    danger: true,
    request: () => ({ method: "DELETE", path: vmPath(vm) }),
    done: () => "It is completed, and will be destroyed in a moment.",
  });
}

/** Asks for a token and stores or removes it for this session, then calls `changed`. */
export function askToken(changed) {
  const given = field({ name: "token", label: "Token", type: "password", value: token() });
  const end = (value) => {
    if (value) sessionStorage.setItem(KEPT, value);
    else sessionStorage.removeItem(KEPT);
    form.parentNode.close();
    changed();
  };
  const form = el("form", { onsubmit: (event) => { event.preventDefault(); end(given.input.value.trim()); } },
    el("h2", {}, "Token"),
    el("p", {}, "With a token you can check out and change VMs here. It is stored in this tab until you close it, and is sent only to this service. To get one: ",
      el("code", {}, `curl -u NAME -X POST ${new URL("token", API).href}`)),
    given.node,
    el("menu", {}, token() ? el("button", { type: "button", onclick: () => end("") }, "Forget it") : null,
      el("button", { type: "button", onclick: () => form.parentNode.close() }, "Cancel"), el("button.main", { type: "submit" }, "Use it")));
  open(form);
}
