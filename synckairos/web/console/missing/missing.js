// The page at an address that leads nowhere. Its texts are all in its HTML.

import "../shared/i18n.js";
