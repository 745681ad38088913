// The JavaScript client checks nothing it receives. This does: that every named field is there, and of its kind.

import assert from "node:assert/strict";

export function assertShape(value, shape, path = "it") {
  if (typeof shape === "string") {
    assert.equal(typeof value, shape, `${path} is ${JSON.stringify(value)}, no ${shape}`);
  } else if (Array.isArray(shape)) {
    assert.ok(Array.isArray(value), `${path} is no list`);
    value.forEach((each, i) => assertShape(each, shape[0], `${path}[${i}]`));
  } else {
    assert.equal(typeof value, "object", `${path} is no object`);
    for (const [name, inner] of Object.entries(shape)) assertShape(value[name], inner, `${path}.${name}`);
  }
}
