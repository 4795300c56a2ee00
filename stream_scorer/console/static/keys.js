// Keys of a page: what is in the browser is what the person sees, so what a key means is settled here.
//   data-key     a field that the key goes into; Esc leaves it. What is typed right after the key is
//                the field's, also while the page draws the field anew, and never a key of the page.
//   data-press   a button that the key presses, once: of the alert that is seen, not of the one that
//                the server would draw next.
//   data-go      a link that `g` and the key follow.
// All other keys go to the server.
let asked = null;  // {key, element, typed, of}: the field that the person is in, until it is left
let going = false;  // `g` was pressed
let focused = null;  // the button with data-press that has the focus

const inField = element => element.closest && element.closest("input, textarea, select");
const having = (name, key) => document.querySelector(`[data-${name}="${CSS.escape(key)}"]`);

function put(element, text) {
  if (!text) return;
  const kind = element.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
  Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(element, element.value + text);
  element.dispatchEvent(new Event("input", {bubbles: true}));
}

function ours(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}

window.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (inField(event.target)) {
    if (event.key === "Escape") {
      asked = null;
      event.target.blur();
    }
    return;
  }
  if (asked) {
    ours(event);
    if (event.key === "Escape") asked = null;
    else if (event.key.length === 1) asked.typed += event.key;
    return;
  }
  if (document.querySelector(".q-dialog")) return;
  if (going || event.key === "g") {
    const link = going && having("go", event.key);
    going = !going;
    ours(event);
    if (link) link.click();
    return;
  }
  const button = having("press", event.key);
  if (button) {
    ours(event);
    if (!event.repeat) button.click();
    return;
  }
  const element = having("key", event.key);
  if (!element) return;
  ours(event);
  asked = {key: event.key, element, typed: "", of: null};
  element.focus();
}, true);

window.addEventListener("mousedown", () => { asked = null; }, true);
window.addEventListener("focusin", ({target}) => {
  focused = target.dataset.press ? target : null;
  if (asked || !target.dataset.key) return;
  asked = {key: target.dataset.key, element: target, typed: "", of: target.dataset.of};
}, true);
window.addEventListener("focusout", event => setTimeout(() => {
  if (asked && event.target === asked.element && asked.element.isConnected) asked = null;
}), true);

new MutationObserver(() => {
  if (focused && !focused.isConnected) {
    const button = having("press", focused.dataset.press);
    focused = null;
    if (button && document.activeElement === document.body) button.focus();
  }
  if (!asked || asked.element.isConnected) return;
  const element = having("key", asked.key);
  if (!element) return;
  // A note that was begun with the mouse is to the alert that was seen then.
  const same = asked.of === null || asked.of === element.dataset.of;
  const text = same ? asked.element.value + asked.typed : "";
  asked = {key: asked.key, element, typed: "", of: asked.of === null ? null : element.dataset.of};
  element.focus();
  put(element, text);
}).observe(document, {subtree: true, childList: true});
