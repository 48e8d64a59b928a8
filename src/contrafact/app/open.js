// The exported page starts here.

import { OnnxEngine } from "./engine-onnx.js";
import { start } from "./page.js";

start(new OnnxEngine());
