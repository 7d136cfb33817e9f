// Makes a node look like new HTML by touching only what differs: what is folded open, focused, selected or scrolled
// inside it stays so while an agent writes.

export function morph(node, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  children(node, template.content);
}

function children(old, wanted) {
  const next = [...wanted.childNodes];
  for (let i = 0; i < next.length; i++) {
    const have = old.childNodes[i];
    if (!have) old.append(next[i]);
    else if (have.nodeName !== next[i].nodeName) have.replaceWith(next[i]);
    else same(have, next[i]);
  }
  while (old.childNodes.length > next.length) old.lastChild.remove();
}

function same(old, wanted) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== wanted.data) extend(old, wanted.data);
    return;
  }
  for (const { name } of [...old.attributes]) {
    const ours = name === "open" || name === "aria-disabled" || (old.nodeName === "TIME" && name === "datetime");
    if (!ours && !wanted.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (old.getAttribute(name) !== value) {
      if (name === "data-press") old.removeAttribute("aria-disabled");
      old.setAttribute(name, value);
    }
  }
  if (old.nodeName !== "TIME") children(old, wanted);
}

function extend(text, data) {
  if (data.startsWith(text.data)) text.appendData(data.slice(text.data.length)); // a selection in it stays
  else text.data = data;
}
