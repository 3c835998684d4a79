import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from '../support/harness/suite.ts'
import { ROOT } from '../support/servers/gateway.ts'

/** Words that the project does not use, with their replacements. */
const BANNED: readonly [word: RegExp, instead: string][] = [
  [/\bset aside\b/i, 'quarantined'],
  [/\banew\b/i, 'again, or a verb with re-'],
  [/\bis well\b/i, 'is ready'],
  [/\bby one rule\b/i, 'the rule itself'],
  [/\bwhat holds\b/i, 'the noun'],
  [/\bin so many words\b/i, 'explicit'],
  [/\bmint(s|ed|ing)?\b/i, 'sign'],
  [/\bfor trials\b/i, 'for testing'],
  [/\bshut out\b/i, 'revoked'],
  [/\bbegun\b/i, 'started'],
  [/\bis tried again\b/i, 'is retried'],
  [/\bpatience(Ms)?\b/i, 'timeout'],
  [/\bbells?\b/i, 'notification'],
  [/\bparcels?\b/i, 'message'],
  [/\bfates?\b/i, 'outcome or result'],
  [/\bvitals\b/i, 'worker status'],
  [/\bslabs?\b/i, 'replay buffer'],
  [/\bdesk\b/i, 'coordinator'],
  [/\bdeaf\b/i, 'stalled or blocked'],
  [/\bnap(ped|s)?\b/i, 'sleep'],
  [/\bfarewell\b/i, 'closing event'],
  [/\bprelude\b/i, 'preamble'],
  [/\bunder_?way\b/i, 'in flight or in progress'],
  [/\bunrevoke\b/i, 'remove the revocation'],
  [/\bdoomed\b/i, 'expired'],
  [/\bfroms\b/i, 'senders'],
]

/** Old schemas keep the comments that they were released with; the changelog quotes old names; this file names the words. */
const ALLOWED = /^(test\/fixtures\/|CHANGELOG\.md$|test\/repo\/words\.test\.ts$|package-lock\.json$)/

const TEXT = /\.(ts|py|md|sql|json|ya?ml|html|css|sh|conf|sample)$/

const test = suite('the words of the project')

test('no file uses a banned word', () => {
  const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: ROOT, encoding: 'utf8' })
    .split('\n')
    .filter((file) => TEXT.test(file) && !ALLOWED.test(file))
  assert.ok(files.length > 400, `${files.length} files`)
  const found = files.flatMap((file) =>
    readFileSync(join(ROOT, file), 'utf8')
      .split('\n')
      .flatMap((line, index) =>
        BANNED.filter(([word]) => word.test(line)).map(
          ([word, instead]) => `${file}:${index + 1}: ${word.exec(line)![0]} → ${instead}`,
        ),
      ),
  )
  assert.equal(found, [])
})

test.run()
