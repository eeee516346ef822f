// Which colour scheme was chosen, before anything is painted: a classic script in the head, so that no page
// flashes in the other one. The switch itself is in ui.js.
try {
  const scheme = localStorage.getItem("synckairos.scheme");
  if (scheme === "light" || scheme === "dark") document.documentElement.dataset.scheme = scheme;
} catch {
  // Storage may be forbidden; then the system's scheme holds.
}
