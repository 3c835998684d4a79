import * as assert from 'uvu/assert'
import { endOfCode, findColumns, isPreformatted, parseJsonText } from '../../../src/web/page/room/model/text-kind.ts'
import { LosslessNumber } from '../../../src/web/page/shared/lossless-json.ts'
import { measureGrowth } from '../../support/harness/processor-time.ts'
import { suite } from '../../support/harness/suite.ts'

const kinds = suite('the kind of a text')

kinds('is JSON for an object or an array only, digit for digit', () => {
  const parsed = parseJsonText(' {"id": 12302548181076029}\n') as { id: LosslessNumber }
  assert.instance(parsed.id, LosslessNumber)
  assert.is(parsed.id.text, '12302548181076029')
  assert.equal(parseJsonText('[1]'), [1])
  for (const text of ['', '7', '"{}"', '{not: json}', '[draft]', '{} {}', 'a [1]', `[${' '.repeat(200_000)}]`]) {
    assert.is(parseJsonText(text), undefined, text.slice(0, 20))
  }
})

const LINES: Readonly<Record<string, string>> = {
  'a log with times': '2026-11-22 10:00:00,123 sshd start\n2026-11-22T10:00:01Z sshd stop',
  syslog: 'Nov 22 10:00:00 web-03 sshd[7]: Failed password\nNov  2 10:00:01 web-03 sshd[7]: Accepted password',
  'a log with levels': '[INFO] up\nERROR down\nsee above',
  'an access log':
    '203.0.113.9 - - [22/Nov/2026] "GET / HTTP/1.1" 200\n203.0.113.9 - - [22/Nov/2026] "GET /x HTTP/1.1" 404',
  'a trace of Python':
    'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    run()\nValueError: no',
  'a trace of Java': 'java.lang.IllegalStateException: closed\n\tat a.B.c(B.java:7)\n\tat a.B.d(B.java:9)',
  'a trace of JavaScript':
    'TypeError: x is not a function\n    at run (file:///a.js:1:2)\n    at main (file:///a.js:9:2)',
  code: 'def f(x):\n    return x\n\nclass A:\n    pass',
  'output in columns': 'PID   USER     COMMAND\n1     root     init\n7     www      nginx',
  'a shell session': '$ whoami\nroot\n$ id\nuid=0(root)',
}

const PROSE: Readonly<Record<string, string>> = {
  'two sentences': 'The address is known.\nBlock it.',
  Chinese: '先取证\n再封禁',
  'a list': '- 2026-11-22 10:00:00 first\n- 2026-11-22 10:00:01 second',
  'an indented list': '1. one\n   - two\n   - three',
  'Markdown with a fence': 'see\n```\nat x\n```\n  end',
  'a table of Markdown': '| a  |  b  |\n|--|--|\n| 1  |  2  |',
  'bold lines': '**10:00:00**\n  indented',
  'one line': '2026-11-22 10:00:00 sshd start',
  'a heading': '# ERROR\nERROR what happened',
}

kinds('is that of a log, a stack trace, code or columns by most of its lines, and never of Markdown', () => {
  for (const [name, text] of Object.entries(LINES)) assert.is(isPreformatted(text), true, name)
  for (const [name, text] of Object.entries(PROSE)) assert.is(isPreformatted(text), false, name)
})

kinds('is a table for objects with like keys, in the order in which the keys appear', () => {
  assert.equal(
    findColumns([
      { ip: 1, port: 2 },
      { ip: 3, state: 4 },
    ]),
    ['ip', 'port', 'state'],
  )
  const wide = Object.fromEntries(Array.from({ length: 13 }, (_, n) => [`k${n}`, n]))
  const others = [
    { a: 1, b: 2 },
    [{ a: 1, b: 2 }],
    [{ a: 1 }, { a: 2 }],
    [{ a: 1, b: 2 }, 7],
    [{ a: 1, b: 2 }, null],
    [{ a: 1, b: 2 }, new LosslessNumber('1.0')],
    [{ a: 1, b: 2, c: 3, d: 4 }, { a: 1 }],
    [wide, wide],
    Array.from({ length: 1_001 }, () => ({ a: 1, b: 2 })),
  ]
  for (const other of others) assert.is(findColumns(other), null, JSON.stringify(other).slice(0, 60))
})

kinds('is not cut within a code block of Markdown', () => {
  const cut = (text: string, at: string): string => text.slice(0, endOfCode(text, text.indexOf(at)))
  const after = ' 1. run\n    ```sh\n    one\n    ```\nand then\n'
  assert.is(cut(`${after}~~~\n\`\`\`\ntwo\n~~~~\nthree\nfour`, 'one'), after.slice(0, after.indexOf('\nand')))
  assert.is(cut(`${after}~~~\n\`\`\`\ntwo\n~~~~\nthree\nfour`, 'two'), `${after}~~~\n\`\`\`\ntwo\n~~~~`)
  assert.is(cut(`${after}~~~\n\`\`\`\ntwo\n~~~~\nthree\nfour`, 'four'), `${after}~~~\n\`\`\`\ntwo\n~~~~\nthree\n`)
  assert.is(cut(`${after}\`\`\`js\n\`\`\`js\ntwo`, 'two'), `${after}\`\`\`js\n\`\`\`js\ntwo`, 'its end is missing')
  assert.is(cut(after, 'then'), after.slice(0, after.indexOf('then')))
})

kinds('is found in linear time', () => {
  for (const text of [' ', '[', '[a](', '**', '`']) {
    const growth = measureGrowth((size) => {
      const long = text.repeat(size / text.length)
      endOfCode(long, size / 2)
      isPreformatted(`${long}\n`)
    }, 20_000)
    assert.ok(growth < 40, `ten times ${text} takes ${growth} times the processor`)
  }
})

kinds.run()
