// What pages do better with JavaScript. Everything works without it.
import { copies } from "./copy.js";
import { charts } from "./chart.js";
import { sorting } from "./sort.js";
import { live, ages } from "./live.js";

document.documentElement.classList.add("js");
copies(document);
sorting(document);
charts(document);
ages();
if (document.documentElement.dataset.still === "false") {
  live((root) => {
    copies(root);
    sorting(root);
    charts(root);
  });
}
