// Sets the colour scheme that the user chose, and hides the page's English texts where another language may take
// their place (i18n.js). It is a classic script in the head, so that it runs before the first painting and no page
// flashes in the other scheme or language. The switch itself is in ui.js.
try {
  const scheme = localStorage.getItem("synckairos.scheme");
  if (scheme === "light" || scheme === "dark") document.documentElement.dataset.scheme = scheme;
} catch {
  // The browser may forbid storage. Then the system's scheme holds.
}
try {
  const language = localStorage.getItem("synckairos.language") ?? navigator.language;
  if (!/^en\b/i.test(language)) document.documentElement.dataset.texts = "waiting";
} catch {
  // Without storage i18n.js goes by the browser's language.
}
