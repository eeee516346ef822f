// Finds texts with less contrast than WCAG 2.2 requires at level AA, and the lightness of the page (0 to 1).
() => {
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = colour;
    pixel.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (front, back) => [...[0, 1, 2].map((at) => front[at] * front[3] + back[at] * (1 - front[3])), 1];
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((each) => each / 255)
      .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    if (!element) return [255, 255, 255, 1];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(element.parentElement));
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    const box = element.getBoundingClientRect();
    if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (box.width <= 1 || box.height <= 1 || element.closest("option, .visually-hidden, :disabled")) continue;
    const style = getComputedStyle(element);
    const back = behind(element);
    let front = over(rgba(style.color), back);
    for (let each = element; each; each = each.parentElement) {
      const { opacity } = getComputedStyle(each);
      if (opacity !== "1") front = over([...front.slice(0, 3), Number(opacity)], behind(each.parentElement));
    }
    const [most, least] = [light(front), light(back)].sort((one, other) => other - one);
    const ratio = (most + 0.05) / (least + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) {
      faint.push(`${ratio.toFixed(2)}: ${text.slice(0, 40)} (${element.className})`);
    }
  }
  return { faint: [...new Set(faint)], page: light(behind(document.body)) };
}
