// Keys of a page: what is in the browser is what the person sees, so what a key means is settled here.
//   data-key     a field that the key goes into; Esc leaves it. What is typed right after the key is
//                the field's, also while the page draws the field anew, and never a key of the page.
//   data-press   a button that the key presses, once: of the alert that is seen, not of the one that
//                the server would draw next.
//   data-go      a link that `g` and the key follow.
// All other keys go to the server.
let asked = null;  // the field that the person is in, until it is left: {
//                 key, element, typed (while it was away), of (its data-of), byKey (was a key
//                 pressed for it, so that it may be the next alert's), was (its text then)}
let going = false;  // `g` was pressed
let focused = null;  // the button with data-press that has the focus

const inField = element => element.closest && element.closest("input, textarea, select");
const having = (name, key) => document.querySelector(`[data-${name}="${CSS.escape(key)}"]`);

function put(element, text) {
  if (text === element.value) return;
  const kind = element.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
  Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(element, text);
  element.dispatchEvent(new Event("input", {bubbles: true}));
}

function enter(key, element, byKey) {
  asked = {key, element, typed: "", of: element.dataset.of, byKey, was: element.value};
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
  if (document.querySelector(".q-dialog")) {  // its own keys are longer than a letter
    if (event.key.length === 1 && event.key !== " ") event.stopImmediatePropagation();
    return;
  }
  if (event.key.length === 1 && !event.repeat && (going || event.key === "g")) {
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
  enter(event.key, element, true);
  element.focus();
  element.setSelectionRange(element.value.length, element.value.length);
}, true);

// The second half of a double press is not for the alert that the first half has brought.
window.addEventListener("click", event => {
  const verdicts = event.target.closest && event.target.closest(".verdicts");
  if (verdicts && verdicts.getAnimations().length) ours(event);
}, true);
window.addEventListener("mousedown", () => {
  asked = null;
  going = false;
}, true);
window.addEventListener("focusin", ({target}) => {
  focused = target.dataset.press ? target : null;
  if (!asked && target.dataset.key) enter(target.dataset.key, target, false);
}, true);
window.addEventListener("focusout", ({target}) => setTimeout(() => {
  const left = target.isConnected && document.activeElement !== target;
  if (left && asked && asked.element === target) asked = null;
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
  const written = asked.element.value, {of, was, byKey, typed} = asked;
  const same = of === element.dataset.of;
  // What is typed into a note belongs to the alert that was seen, but for a key and what follows it:
  // that may be ahead of the page. Else nobody hears it until that alert is back, or the field left.
  if (!same && !byKey) return;
  enter(asked.key, element, false);
  element.focus();
  put(element, same ? written + typed : element.value + written.slice(was.length) + typed);
  element.setSelectionRange(element.value.length, element.value.length);
}).observe(document, {subtree: true, childList: true});
