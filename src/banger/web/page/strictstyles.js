// xterm.js writes style elements and attributes. The page's content security policy refuses these,
// since hostile HTML may have them. Its own are done by the CSSOM, which the policy allows.

const createElement = document.createElement.bind(document);

document.createElement = (tag, options) => {
  if (tag === "style") return createSheet();
  const element = createElement(tag, options);
  if (tag === "span") element.setAttribute = setAttribute;
  return element;
};

function setAttribute(name, value) {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
}

/** Return an element whose text is a sheet of the document, until it is removed. */
function createSheet() {
  const element = createElement("template");
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  Object.defineProperty(element, "textContent", { set: (text) => sheet.replaceSync(text) });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}
