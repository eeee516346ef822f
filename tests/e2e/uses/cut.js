// Measures in a page which texts are cut. test_languages.py puts it into each page.
(() => {
const frames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
const unfold = (root) => { for (const each of root.querySelectorAll('details')) each.open = true; };

// Texts that are cut, stand beside their button or the screen, and what moves sideways.
window.cut = () => {
  // Words that only screen readers get.
  const unseen = (each) => {
    for (let at = each; at; at = at.parentElement) if (getComputedStyle(at).clipPath === 'inset(50%)') return true;
    return false;
  };
  const found = new Set();
  const say = (what, each) => found.add(`${what}: <${each.tagName.toLowerCase()} class="${each.className?.baseVal ?? each.className}"> ${(each.value || each.textContent).trim().slice(0, 60)}`);
  const root = document.querySelector('dialog:modal') ?? document.body;
  if (document.documentElement.scrollWidth > innerWidth) say('the page is wider than the screen', document.documentElement);
  const canvas = document.createElement('canvas').getContext('2d');
  const written = (each, text) => {
    const style = getComputedStyle(each);
    canvas.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    return canvas.measureText(text).width;
  };
  const room = (each) => {
    const style = getComputedStyle(each);
    return each.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  };
  for (const each of root.querySelectorAll('*')) {
    if (each.closest('svg, script, style, noscript, option, [aria-hidden=true]') || unseen(each) || !each.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(each);
    const inCode = each.closest('pre, code'); // what a shell reads is never broken
    if (each.scrollWidth > each.clientWidth + 1 && style.overflowX !== 'visible' && each.clientWidth > 0 && !inCode && !each.matches('input, select, textarea'))
      say(/auto|scroll/.test(style.overflowX) ? 'scrolls sideways' : 'cut at its side', each);
    if (each.scrollHeight > each.clientHeight + 1 && /hidden|clip/.test(style.overflowY) && each.clientHeight > 0 && !each.matches('input, select'))
      say('cut at its end', each);
    if (each.matches('select') && each.selectedOptions[0] && style.opacity !== '0' && style.color !== 'rgba(0, 0, 0, 0)' && room(each) > 40 && written(each, each.selectedOptions[0].text) > room(each) + 1)
      say('a choice is cut', each);
    if (each.matches('input') && each.placeholder && written(each, each.placeholder) > room(each) + 1) say(`a placeholder is cut (${each.placeholder})`, each);
    const own = [...each.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
    if (!own.length || inCode) continue;
    const holder = each.closest('button, .button, .segments label, th, td') ?? each;
    const box = holder.getBoundingClientRect();
    for (const node of own) {
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const words of range.getClientRects()) {
        if (words.width === 0) continue;
        if (words.left < -1 || words.right > innerWidth + 1) say('beside the screen', each);
        if (holder !== each && (words.left < box.left - 1 || words.right > box.right + 1 || words.top < box.top - 3 || words.bottom > box.bottom + 3))
          say('beside its button', each);
      }
    }
  }
  return [...found];
};

// The same for each form of a new session, unfolded.
window.cutForms = async (names) => {
  const found = [];
  for (const name of names) {
    document.querySelector('#new-body').replaceChildren();
    location.hash = `#new/${name}`;
    while (!document.querySelector('#new-body form')) await frames();
    unfold(document.querySelector('#new-body'));
    await frames();
    found.push(...cut().map((each) => `form ${name}: ${each}`));
  }
  return found;
};

// The same for the menu and for the dialog of each of its items, but those that act at once. Also: how many dialogs.
window.cutDialogs = async (menu, acting) => {
  const open = () => document.querySelector('dialog:modal');
  const choose = async (label, scope) => {
    const before = open();
    [...scope.querySelectorAll('button')].find((each) => (each.getAttribute('aria-label') ?? each.textContent).trim() === label).click();
    // What opens may have to be loaded first. A few items open nothing.
    for (let waited = 0; waited < 30 && (open() === before || open() === null); waited += 1) await frames();
  };
  const close = async () => {
    while (open()) {
      open().close();
      await frames();
    }
  };
  await choose(menu, document);
  const found = cut().map((each) => `menu: ${each}`);
  const labels = [...open().querySelectorAll('.menu button')].map((each) => each.textContent.trim());
  await close();
  let seen = 0;
  for (const label of labels.filter((each) => !acting.includes(each))) {
    await choose(menu, document);
    await choose(label, open());
    if (open()) {
      seen += 1;
      unfold(open());
      await frames();
      found.push(...cut().map((each) => `“${label}”: ${each}`));
    }
    await close();
  }
  return [found, seen];
};
})()
