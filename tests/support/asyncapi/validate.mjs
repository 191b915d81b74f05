// Read an AsyncAPI document from standard input and say what its own parser has to say about it, as JSON:
// {"version": "3.0.0" or null, "messages": ["fill", ...], "diagnostics": [{"severity": 0, "code": ..., "path": ..., "message": ...}]}
import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';

const { document, diagnostics } = await new Parser().parse(readFileSync(0, 'utf8'));
const said = diagnostics.map(({ severity, code, path, message }) => ({ severity, code, path: path.join('.'), message }));
const messages = document ? document.allMessages().all().map((message) => message.id()) : [];
process.stdout.write(JSON.stringify({ version: document ? document.version() : null, messages, diagnostics: said }));
