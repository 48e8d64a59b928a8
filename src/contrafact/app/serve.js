// The page of a server starts here.

import { ServerEngine } from "./engine-server.js";
import { start } from "./page.js";

const token = new URLSearchParams(location.search).get("token") || "";
const scheme = location.protocol === "https:" ? "wss" : "ws";
start(new ServerEngine(`${scheme}://${location.host}/socket?token=${encodeURIComponent(token)}`));
