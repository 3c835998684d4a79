import { existsSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of package.json. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** The program that tests start: TEST_BINARY, a script or an executable, or else the sources. */
export const PROGRAM = process.env.TEST_BINARY || 'src/cli.ts'

export const FAILPOINT_SOURCE = 'test/support/servers/failpoint-gateway.ts'

/** The gateway that kills itself: from the bundle of the runner if there is one. */
export const failpointProgram = (): string => {
  const bundled = join(dirname(PROGRAM), 'failpoint-gateway.js')
  return existsSync(bundled) ? bundled : FAILPOINT_SOURCE
}

export const isScript = (entry: string): boolean => /\.[cm]?[jt]s$/.test(entry)

/** Returns the arguments that start an entry point, given as a path relative to the repository or an absolute one. */
export const getCommandLine = (entry: string): string[] => {
  const file = isAbsolute(entry) ? entry : join(ROOT, entry)
  return isScript(file) ? [process.execPath, file] : [file]
}
