/**
 * Tells the visitor if a script of the page did not come, as when the network changed while the page was
 * loaded. No module can: with one of them missing, none is run.
 */

addEventListener("error", ({ target }) => {
  if (!(target instanceof HTMLScriptElement)) return;
  if (document.body) complain();
  else addEventListener("DOMContentLoaded", complain);
}, true);

function complain() {
  const mistake = document.createElement("p");
  mistake.className = "mistake";
  mistake.setAttribute("role", "alert");
  mistake.textContent = "A part of this page did not come, so nothing here works. Reload it.";
  document.body.prepend(mistake);
}
