import { runTests } from './support/runner/main.ts'
import { killAll } from './support/runner/run-process.ts'

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    killAll()
    process.exit(130)
  })
}

const write = (text: string): void => void process.stdout.write(text)

process.exit(await runTests(process.argv.slice(2), { env: process.env, write }))
