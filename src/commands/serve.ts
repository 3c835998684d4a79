import { serve as serveGateway } from '../serve.ts'
import type { Command } from './command.ts'
import { noWords } from './words.ts'

/** `serve`: runs the gateway. */
export const serve: Command = {
  name: 'serve',
  summary: 'run the gateway until SIGTERM or SIGINT',
  usage: [''],
  flags: {},
  examples: [['deepsoc-gateway serve', 'Serve with the settings of the environment']],
  run: async (given, io) => {
    noWords(given)
    return serveGateway(io.version)
  },
}
