import { createDatabase, type Postgres, startPostgres } from '../servers/postgres.ts'
import { type Broker, startBroker } from '../servers/rabbitmq.ts'

/** The servers that test files share. */
export type SharedServers = {
  /** What tells a test file where they are; PostgreSQL gives each file a database of its own. */
  envFor(needs: readonly string[]): Promise<NodeJS.ProcessEnv>
  dispose(): Promise<void>
}

/** Starts the servers among these needs, except for those that the environment names already. */
export const startSharedServers = (needs: ReadonlySet<string>): SharedServers => {
  const broker: Promise<Broker> | undefined =
    needs.has('rabbitmq') && !process.env.TEST_RABBITMQ_URL ? startBroker() : undefined
  const postgres: Promise<Postgres> | undefined =
    needs.has('postgres') && !process.env.TEST_POSTGRES_URL ? startPostgres() : undefined
  // A server that does not start fails each file that waits for it.
  for (const server of [broker, postgres]) server?.catch(() => undefined)
  return {
    async envFor(wanted) {
      const env: NodeJS.ProcessEnv = {}
      if (broker && wanted.includes('rabbitmq')) {
        env.TEST_RABBITMQ_URL = (await broker).url
        env.TEST_RABBITMQ_CONTROL = (await broker).control
      }
      if (postgres && wanted.includes('postgres')) env.TEST_POSTGRES_URL = await createDatabase((await postgres).url)
      return env
    },
    async dispose() {
      const started = await Promise.allSettled([broker, postgres])
      for (const server of started) if (server.status === 'fulfilled') await server.value?.dispose()
    },
  }
}
