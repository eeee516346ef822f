// Sets the colour scheme that the user chose. It is a classic script in the head, so that it runs before the
// first painting and no page flashes in the other scheme. The switch itself is in ui.js.
try {
  const scheme = localStorage.getItem("synckairos.scheme");
  if (scheme === "light" || scheme === "dark") document.documentElement.dataset.scheme = scheme;
} catch {
  // The browser may forbid storage. Then the system's scheme holds.
}
