import { describe, expect, test } from 'vitest';
import { applyToLines } from '../../agent/config-files/file-lines.js';
import { applyToIni } from '../../agent/config-files/ini.js';
import { applyToJson } from '../../agent/config-files/json.js';
import { applyToProperties } from '../../agent/config-files/properties.js';
import { decodeText } from '../../agent/config-files/text.js';
import type { ConfigValues } from '../../agent/config-files/values.js';
import { applyToXml } from '../../agent/config-files/xml.js';
import { applyToYaml } from '../../agent/config-files/yaml.js';

type Apply = (text: string, values: ConfigValues) => string;
/** What it is about, the file, the values, the file afterwards. */
type Row = [what: string, before: string, values: ConfigValues, after: string];

function check(apply: Apply) {
  return (_: string, before: string, values: ConfigValues, after: string) => {
    expect(apply(before, values)).toBe(after);
    expect(apply(after, values)).toBe(after);
  };
}

describe('properties', () => {
  const rows: Row[] = [
    ['an empty file gets the keys in order', '', { b: 'x', a: 1, c: true }, 'b=x\na=1\nc=true\n'],
    [
      'values are replaced in place',
      '#c\n!d\n\na=1\nb = 2\nc: 3\nd 4\n',
      { b: '9', c: '8', d: '7' },
      '#c\n!d\n\na=1\nb = 9\nc: 8\nd 7\n',
    ],
    ['Windows line ends stay', 'a=1\r\nb=2', { a: '3', c: '4' }, 'a=3\r\nb=2\r\nc=4\r\n'],
    ['a key may have dots', 'query.port=1\n', { 'query.port': '25565' }, 'query.port=25565\n'],
    [
      'escapes of other keys stay',
      'a\\:b=\\u00e9\\\nmore\nx=1\n',
      { x: '2' },
      'a\\:b=\\u00e9\\\nmore\nx=2\n',
    ],
    ['an escaped key is found', 'a\\:b=1\n', { 'a:b': '2' }, 'a\\:b=2\n'],
    ['a value over several lines is one', 'a=1,\\\n  2\nb=3\n', { a: '4' }, 'a=4\nb=3\n'],
    ['the same value, written another way, stays', 'motd=H\\u00e9\n', { motd: 'Hé' }, 'motd=H\\u00e9\n'],
    [
      'what is not ASCII, a backslash and line ends are escaped',
      '',
      { m: '§ C:\\x\ny' },
      'm=\\u00A7 C:\\\\x\\ny\n',
    ],
    ['a blank in front is kept for the reader', '', { m: ' x' }, 'm=\\ x\n'],
    ['every line of the key is changed', 'a=1\na=2\n', { a: '3' }, 'a=3\na=3\n'],
    [
      'only the present value that is named',
      'a=1\nb=1\n',
      { a: { '1': '2' }, b: { '0': '2' } },
      'a=2\nb=1\n',
    ],
    ['anything else', 'a=5\n', { a: { '1': '2', '*': '3' } }, 'a=3\n'],
    ['a conditional value makes no key', 'a=5\n', { b: { '1': '2', '*': '3' } }, 'a=5\n'],
    ['a key with nothing behind it', 'server-ip\nx=1', { 'server-ip': '0.0.0.0' }, 'server-ip=0.0.0.0\nx=1'],
  ];
  test.each(rows)('%s', check(applyToProperties));
});

describe('file', () => {
  const rows: Row[] = [
    [
      'a line that begins with the key becomes the value',
      'port 1\n# port 2\n  port 3\n',
      { 'port ': 'port 5' },
      'port 5\n# port 2\n  port 3\n',
    ],
    [
      'the longest key counts',
      'portal=1\nport=2\n',
      { port: 'port=3', portal: 'portal=4' },
      'portal=4\nport=3\n',
    ],
    ['nothing is added', 'a\n', { b: 'b=1' }, 'a\n'],
    ['line ends and a missing last one stay', 'a=1\r\nb=2', { 'a=': 'a=3', 'b=': 'b=4' }, 'a=3\r\nb=4'],
    ['a value of two lines does not grow', 'a=1\nz\n', { 'a=': 'a=2\nb=3' }, 'a=2\nb=3\nz\n'],
    ['a condition is about the whole line', 'a=1\na=2\n', { 'a=': { 'a=1': 'a=9' } }, 'a=9\na=2\n'],
  ];
  test.each(rows)('%s', check(applyToLines));
});

describe('ini', () => {
  const rows: Row[] = [
    ['a section is made', '', { 'a.b': 1, 'a.c': 'x', d: true }, 'd=true\n[a]\nb=1\nc=x\n'],
    [
      'comments, blanks and spelling stay',
      '; top\n[a]\n; c\nb = 1 ; why\n\n[c]\nb=2\n',
      { 'a.b': '3', 'c.b': '4' },
      '; top\n[a]\n; c\nb = 3 ; why\n\n[c]\nb=4\n',
    ],
    [
      'a key is added behind the last of its section',
      '[a]\nb = 1\n\n# about c\n[c]\nd = 1\n',
      { 'a.x': '2' },
      '[a]\nb = 1\nx = 2\n\n# about c\n[c]\nd = 1\n',
    ],
    [
      'a section whose name has dots',
      '[/Script/Game.Settings]\nPort=1\n',
      { '[/Script/Game.Settings].Port': '2' },
      '[/Script/Game.Settings]\nPort=2\n',
    ],
    ['only the first dot divides', '[a]\nb.c=1\n', { 'a.b.c': '2' }, '[a]\nb.c=2\n'],
    ['a value with a semicolon stays as it was put', '', { 'a.n': 'Foo ; Bar' }, '[a]\nn=Foo ; Bar\n'],
    ['a value cannot become a second line', '[a]\n', { 'a.n': 'x\nadmin=1' }, '[a]\nn=x admin=1\n'],
    [
      'Windows line ends stay',
      '[a]\r\nb=1\r\n',
      { 'a.b': '2', 'x.y': '3' },
      '[a]\r\nb=2\r\n\r\n[x]\r\ny=3\r\n',
    ],
    [
      'a condition looks past a comment',
      '[a]\nip=127.0.0.1 ; here\n',
      { 'a.ip': { '127.0.0.1': '0.0.0.0' } },
      '[a]\nip=0.0.0.0 ; here\n',
    ],
    [
      'the same section twice',
      '[a]\nb=1\n[c]\nd=1\n[a]\ne=1\n',
      { 'a.b': '2', 'a.n': '3' },
      '[a]\nb=2\n[c]\nd=1\n[a]\ne=1\nn=3\n',
    ],
  ];
  test.each(rows)('%s', check(applyToIni));
});

describe('yaml', () => {
  const rows: Row[] = [
    [
      'an empty file',
      '',
      { 'a.b': '1', 'a.c[0].d': 'x', e: true },
      'a:\n  b: 1\n  c:\n    - d: x\ne: true\n',
    ],
    [
      'comments, quotes, order and indentation stay',
      '# top\na:\n    b: "1" # why\n    c:   x\nd: [1,  2]\n',
      { 'a.b': '2', 'a.c': 'z', 'd[1]': '3' },
      '# top\na:\n    b: "2" # why\n    c:   z\nd: [1,  3]\n',
    ],
    [
      'a number stays a number, a text a text',
      'a: 1\nb: "1"\nc: x\n',
      { a: '2', b: '2', c: '2' },
      'a: 2\nb: "2"\nc: "2"\n',
    ],
    [
      'a boolean stays one, also as older readers write it',
      'a: true\nb: yes\n',
      { a: 'false', b: 'false' },
      'a: false\nb: false\n',
    ],
    [
      'a text that would be read as something else is quoted',
      'a: x\nb: x\nc: x\n',
      { a: 'yes', b: '1:30', c: '# x' },
      'a: "yes"\nb: "1:30"\nc: "# x"\n',
    ],
    [
      'a key is added behind the last of its map',
      'a:\n  b: 1\n  c: |\n    t\n\nd: 1\n',
      { 'a.m': 'x' },
      'a:\n  b: 1\n  c: |\n    t\n  m: x\n\nd: 1\n',
    ],
    [
      'lists: the first, a new one, one with entries',
      'l:\n- a\n- b: 1\n',
      { 'l[0]': 'x', 'l[1].b': '2', 'l[2].c': '3' },
      'l:\n- x\n- b: 2\n- c: 3\n',
    ],
    ['a key without a value', 'a:\nb: 1\n', { 'a.b': '1', b: '2' }, 'a:\n  b: 1\nb: 2\n'],
    [
      'maps and lists in brackets',
      'a: {b: 1}\nc: []\nd: {}\n',
      { 'a.x': 'p, q', 'c[0]': '1', 'd.e.f': '2' },
      'a: {b: 1, x: "p, q"}\nc: [1]\nd: {e: {f: 2}}\n',
    ],
    [
      'Windows line ends stay',
      'a: 1\r\nb: 2\r\n',
      { a: '3', 'c.d': '4' },
      'a: 3\r\nb: 2\r\nc:\r\n  d: 4\r\n',
    ],
    ['no line end at the end', 'a:\n  b: 1', { 'a.c': '2' }, 'a:\n  b: 1\n  c: 2'],
    ['a name with a dot', 'a.b: 1\n', { 'a~1b': '2' }, 'a.b: 2\n'],
    ['a document start and a comment behind it', '---\n# c\na: 1\n', { b: '2' }, '---\n# c\na: 1\nb: 2\n'],
    [
      'the address of every server that the proxy would look for on itself, keeping its port',
      'servers:\n  lobby:\n    address: localhost:25566\n    x: 1\n  games:\n    address: 127.0.0.1\n  away:\n    address: play.example.com:25565\n  odd: 5\n',
      { 'servers.*.address': { 'regex:^(127\\.0\\.0\\.1|localhost)(:\\d{1,5})?$': '172.18.0.1$2' } },
      'servers:\n  lobby:\n    address: 172.18.0.1:25566\n    x: 1\n  games:\n    address: 172.18.0.1\n  away:\n    address: play.example.com:25565\n  odd: 5\n',
    ],
    [
      'a wildcard adds to each, and makes nothing itself',
      'a:\n  b: {}\n  c:\n    d: 1\n',
      { 'a.*.m': 'x', 'z.*.m': 'x' },
      'a:\n  b: {m: x}\n  c:\n    d: 1\n    m: x\n',
    ],
    ['a value in the place of an alias is only that one', 'a: &x 1\nb: *x\n', { b: 'z' }, 'a: &x 1\nb: z\n'],
  ];
  test.each(rows)('%s', check(applyToYaml));
});

describe('json', () => {
  const rows: Row[] = [
    [
      'an empty file',
      '',
      { 'a.b': '1', 'c[0]': 'x' },
      '{\n  "a": {\n    "b": 1\n  },\n  "c": [\n    "x"\n  ]\n}\n',
    ],
    [
      'order, indentation and spelling of the rest stay',
      '{\n\t"z": 1.50,\n\t"a": "\\u00e9",\n\t"b": [1,2]\n}',
      { z: '2', 'b[1]': '3' },
      '{\n\t"z": 2,\n\t"a": "\\u00e9",\n\t"b": [1,3]\n}',
    ],
    [
      'entries are added as the others stand',
      '{\n    "a": {\n        "b": 1\n    }\n}\n',
      { 'a.c': 'x', 'd.e': true },
      '{\n    "a": {\n        "b": 1,\n        "c": "x"\n    },\n    "d": {\n        "e": true\n    }\n}\n',
    ],
    ['on one line', '{"a":1,"l":[1]}', { b: 'x', 'l[1]': '2' }, '{"a":1,"l":[1, 2], "b": "x"}'],
    [
      'comments and trailing commas, as some games have them',
      '{\n  // c\n  "a": 1, /* d */\n}\n',
      { a: '2', b: '3' },
      '{\n  // c\n  "a": 2,\n  "b": 3, /* d */\n}\n',
    ],
    [
      'types stay, what is given as a number is one',
      '{"a":1,"b":"1","c":true,"d":null}',
      { a: '2', b: '2', c: 'false', d: '5' },
      '{"a":2,"b":"2","c":false,"d":5}',
    ],
    [
      '__proto__ is a name like any other',
      '{"a":1}',
      { '__proto__.x': '1' },
      '{"a":1, "__proto__": {\n  "x": 1\n}}',
    ],
    [
      'a condition',
      '{"a":{"x":{"h":"l"},"y":{"h":"m"}}}',
      { 'a.*.h': { l: '0' } },
      '{"a":{"x":{"h":"0"},"y":{"h":"m"}}}',
    ],
  ];
  test.each(rows)('%s', check(applyToJson));
});

describe('xml', () => {
  const sevenDays =
    '<?xml version="1.0"?>\r\n<ServerSettings>\r\n\t<!-- GENERAL -->\r\n\t<property name="ServerPort"\t\t\tvalue="26900"/>\t\t<!-- Port -->\r\n\t<property name=\'ServerName\' value="My Game Host" />\r\n</ServerSettings>\r\n';
  const rows: Row[] = [
    [
      'the attribute of the element with this attribute, everything else to the byte',
      sevenDays,
      { "ServerSettings.property[@name='ServerPort']": "[value='27000']" },
      sevenDays.replace('26900', '27000'),
    ],
    [
      'an element that is missing gets its attributes',
      '<S>\n\t<p n="a" value="1"/>\n</S>\n',
      { "S.p[@n='b']": "[value='2 & 3']" },
      '<S>\n\t<p n="a" value="1"/>\n\t<p n="b" value="2 &amp; 3" />\n</S>\n',
    ],
    [
      'texts are escaped',
      '<R><N>old &amp; <![CDATA[<x>]]></N><P/></R>',
      { 'R.N': 'a < b & c', 'R.P': '5' },
      '<R><N>a &lt; b &amp; c</N><P>5</P></R>',
    ],
    [
      'the same text, written another way, stays',
      '<R><N><![CDATA[a&b]]></N></R>',
      { 'R.N': 'a&b' },
      '<R><N><![CDATA[a&b]]></N></R>',
    ],
    [
      'a missing file gets a root',
      '',
      { 'R.A.B': '1' },
      '<?xml version="1.0" encoding="utf-8"?>\n<R><A><B>1</B></A></R>\n',
    ],
    [
      'slashes instead of dots, any element, the second one',
      '<R><a><x>1</x></a><b><x>1</x><x>1</x></b></R>',
      { 'R/*/x[2]': '3' },
      '<R><a><x>1</x></a><b><x>1</x><x>3</x></b></R>',
    ],
    [
      'conditions are about the text or the attribute',
      '<R><a>1</a><b v="1"/></R>',
      { 'R.a': { '1': '2' }, 'R.b': { '1': "[v='2']", '5': "[v='6']" } },
      '<R><a>2</a><b v="2"/></R>',
    ],
  ];
  test.each(rows)('%s', check(applyToXml));
});

describe('what is not as it should be is left alone', () => {
  test.each<[string, Apply, string, ConfigValues, string]>([
    ['broken JSON', applyToJson, '{"a":\n}', { a: '1' }, 'it is not valid JSON (line 2)'],
    ['JSON that is only a number', applyToJson, '5', { 'a.b': '1' }, 'does not fit'],
    ['JSON that is nested without end', applyToJson, '['.repeat(100_000), { a: '1' }, 'too deeply'],
    ['a JSON path through a text', applyToJson, '{"a":"x"}', { 'a.b': '1' }, '"a.b" does not fit'],
    ['a JSON map in the place of a value', applyToJson, '{"a":{}}', { a: '1' }, 'more than one value'],
    [
      'a place far behind the end of a list',
      applyToJson,
      '{"a":[]}',
      { 'a[3]': '1' },
      'too far behind the end',
    ],
    ['broken YAML', applyToYaml, 'a: [1\nb: 2\n', { a: '1' }, 'it is not valid YAML (line'],
    [
      'YAML that is nested without end',
      applyToYaml,
      `a: ${'['.repeat(500)}${']'.repeat(500)}`,
      { b: '1' },
      'too deeply',
    ],
    [
      'XML with a document type',
      applyToXml,
      '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>',
      { r: '1' },
      'document type',
    ],
    ['XML with an entity of its own', applyToXml, '<r>&x;</r>', { r: '1' }, '&x;'],
    ['XML that does not close', applyToXml, '<r><a></r>', { r: '1' }, 'not valid XML (line 1)'],
    ['two roots', applyToXml, '<r/><r/>', { r: '1' }, 'not valid XML'],
    ['another root', applyToXml, '<r/>', { 'x.y': '1' }, 'the root of the file'],
    ['a text in the place of elements', applyToXml, '<r><a/></r>', { r: '1' }, 'has elements in it'],
    ['a path that is none', applyToXml, '<r/>', { 'r.//x[position()=1]': '1' }, 'no path of elements'],
    ['an expression that is none', applyToYaml, 'a: 1\n', { a: { 'regex:(': '1' } }, 'the expression ( '],
  ])('%s', (_, apply, text, values, message) => {
    expect(() => apply(text, values)).toThrow(message);
  });

  test('what is neither text nor in the encoding of the file', () => {
    expect(() => decodeText(Buffer.from([65, 0, 66]), true)).toThrow('not a text file');
    expect(() => decodeText(Buffer.from([0xe9]), false)).toThrow('not UTF-8');
    const latin = decodeText(Buffer.from([0xe9]), true);
    expect(latin.encode(`${latin.text}x`)).toEqual(Buffer.from([0xe9, 120]));
    expect(() => latin.encode('é€')).toThrow('encoding');
  });
});

test('a byte order mark stays', () => {
  const { text, encode } = decodeText(Buffer.from('\uFEFFa=1'), true);
  expect(text).toBe('a=1');
  expect(encode('a=2')).toEqual(Buffer.from('\uFEFFa=2'));
});
