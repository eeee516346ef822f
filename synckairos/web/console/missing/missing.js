// The page at an address that leads nowhere. Its HTML is in English, for readers without scripts.

import { t } from "../shared/i18n.js";

const page = document.querySelector("#missing");
document.title = `${t("delivery.missing.title")} – SyncKairos`;
page.querySelector("h1").textContent = t("delivery.missing.heading");
page.querySelector("p").textContent = t("delivery.missing.text");
page.querySelector("a").textContent = t("delivery.missing.home");
