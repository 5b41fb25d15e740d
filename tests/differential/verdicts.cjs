// Which YAML files have the shape that a schema asks for, as Node's ajv sees it.
//
//   node verdicts.cjs SCHEMA DIRECTORY    prints {"file name": true or false, …}
const fs = require('fs');
const path = require('path');
const Ajv = require('ajv/dist/2020').default;
const YAML = require('yaml');

const [schema, directory] = process.argv.slice(2);
const validate = new Ajv({ strict: false }).compile(JSON.parse(fs.readFileSync(schema, 'utf8')));
const verdict = (text) => {
  try {
    return validate(YAML.parse(text, { merge: true, logLevel: 'error' }));
  } catch {
    return false; // It is not YAML.
  }
};
const out = {};
for (const name of fs.readdirSync(directory).sort()) {
  out[name] = verdict(fs.readFileSync(path.join(directory, name), 'utf8'));
}
console.log(JSON.stringify(out));
