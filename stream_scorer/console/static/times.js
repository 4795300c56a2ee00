// Times are written in UTC by the server, which does not know where its reader is; here they become
// the reader's own, with UTC on hover. A page in UTC stays as it is.
const WRITTEN = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/g;
const own = new Intl.DateTimeFormat("sv-SE", {  // writes as ISO does
  year: "numeric", month: "2-digit", day: "2-digit",
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});

function local(text) {
  return own.format(new Date(text.replace(" UTC", "Z").replace(" ", "T")));
}

function convert(node) {
  const found = node.data.match(WRITTEN);
  if (!found) return;
  const text = node.data.replace(WRITTEN, local);
  if (text === node.data) return;
  node.parentElement?.setAttribute("title", found.join(", "));
  node.data = text;
}

function convertAll(root) {
  if (root.nodeType === Node.TEXT_NODE) return convert(root);
  if (root.nodeType !== Node.ELEMENT_NODE) return;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) convert(walker.currentNode);
}

new MutationObserver(changes => {
  for (const change of changes) {
    if (change.type === "characterData") convert(change.target);
    else change.addedNodes.forEach(convertAll);
  }
}).observe(document, {subtree: true, childList: true, characterData: true});
