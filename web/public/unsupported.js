// Only browsers that don't know ES modules run this file: it keeps to the
// language they have, and waits because they don't defer it.
document.addEventListener("DOMContentLoaded", function () {
  document.getElementById("unsupported").removeAttribute("hidden");
});
