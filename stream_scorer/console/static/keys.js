// Into a field by its key (data-key), and out of it by Esc. Here, not on the server: what is typed
// right after the key is the field's, also while the page draws the field anew, and never a key of
// the page.
let asked = null;  // {key, element, typed}: the field that a key asked for, until it is left

const inField = element => element.closest && element.closest("input, textarea, select");
const fieldOf = key => document.querySelector(`[data-key="${CSS.escape(key)}"]`);

function put(element, text) {
  if (!text) return;
  const kind = element.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
  Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(element, element.value + text);
  element.dispatchEvent(new Event("input", {bubbles: true}));
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
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.key === "Escape") asked = null;
    else if (event.key.length === 1) asked.typed += event.key;
    return;
  }
  const element = fieldOf(event.key);
  if (!element) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  asked = {key: event.key, element, typed: ""};
  element.focus();
}, true);

window.addEventListener("mousedown", () => { asked = null; }, true);
window.addEventListener("focusout", event => setTimeout(() => {
  if (asked && event.target === asked.element && asked.element.isConnected) asked = null;
}), true);

new MutationObserver(() => {
  if (!asked || asked.element.isConnected) return;
  const element = fieldOf(asked.key);
  if (!element) return;
  const text = asked.element.value + asked.typed;
  asked = {key: asked.key, element, typed: ""};
  element.focus();
  put(element, text);
}).observe(document, {subtree: true, childList: true});
