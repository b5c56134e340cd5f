// The body of a function: each text that is seen, with its contrast against its ground (WCAG 2.2, success criterion
// 1.4.3). A ground is the nearest opaque one, and what is half transparent over it.

const colour = (text) => {
  const numbers = /^rgba?\(([\d., ]+)\)$/.exec(text)?.[1].split(",").map(Number);
  if (numbers === undefined) throw new Error(`the colour ${text}`);
  const [red, green, blue, alpha = 1] = numbers;
  return { parts: [red, green, blue], alpha };
};
const over = (top, ground) =>
  top.parts.map((part, index) => part * top.alpha + ground[index] * (1 - top.alpha));
const luminance = (parts) => {
  const [red, green, blue] = parts.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const contrast = (one, other) => {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};
const ground = (element) => {
  if (element === null) throw new Error("a ground that is not opaque");
  const style = getComputedStyle(element);
  if (style.backgroundImage !== "none") throw new Error("a picture as ground");
  const own = colour(style.backgroundColor);
  return own.alpha === 1 ? own.parts : over(own, ground(element.parentElement));
};
const seen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
const judged = (element, text, pseudo = null) => {
  for (let it = element; it !== null; it = it.parentElement) {
    const { opacity } = getComputedStyle(it);
    if (opacity !== "1") throw new Error(`${text} is ${opacity} opaque`);
  }
  const under = ground(element);
  return { text, ratio: contrast(over(colour(getComputedStyle(element, pseudo).color), under), under) };
};

const texts = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const { data, parentElement } = walker.currentNode;
  // A choice is shown by its list, which is looked at below.
  const isSeen = data.trim() !== "" && parentElement.tagName !== "OPTION" && seen(parentElement);
  if (isSeen) texts.push(judged(parentElement, data.trim()));
}
for (const field of document.querySelectorAll("select, input:not([type=range])")) {
  if (!seen(field)) continue;
  texts.push(judged(field, `what is in ${field.id}`));
  if (field.placeholder) texts.push(judged(field, `the hint in ${field.id}`, "::placeholder"));
}
return texts;
