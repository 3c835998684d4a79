import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, getJson, tempDir } from '../../test/support/harness/wait.ts'
import { Program } from '../support/program.ts'
import { ensure, nginx } from '../support/provision.ts'
import { NAMES, type Peer } from './peer.ts'

const configuration = (dir: string, port: number, history: number): string => `
load_module ${nginx.nchanModule};
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${dir}/nginx.pid;
error_log ${dir}/error.log error;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 20000; multi_accept on; }
http {
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  client_body_buffer_size 64k;
  nchan_shared_memory_size 512M;
  nchan_message_buffer_length ${history};
  nchan_message_timeout 1h;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location ~ ^/pub/(.+)$ { nchan_publisher; nchan_channel_id $1; }
    location ~ ^/sub/(.+)$ {
      nchan_subscriber eventsource;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
    }
    location ~ ^/all/(.+)$ {
      nchan_subscriber eventsource;
      nchan_channel_id $1;
      nchan_subscriber_first_message oldest;
    }
  }
}
`

/**
 * nginx with nchan, one worker, everything in memory.
 *
 * @param history messages that a channel keeps for those who come later
 * @throws Error when it cannot be had
 */
export const startNchan = async (history = 5_000): Promise<Peer> => {
  await ensure('nchan')
  const dir = tempDir('bench-nchan-')
  const port = await freePort()
  mkdirSync(join(dir, 'body'))
  writeFileSync(join(dir, 'nginx.conf'), configuration(dir, port, history))
  const program = await Program.start({
    command: nginx.program,
    args: ['-p', dir, '-c', join(dir, 'nginx.conf'), '-e', join(dir, 'error.log')],
    ready: async () => (await getJson(`http://127.0.0.1:${port}/`)).status > 0,
  })
  return {
    name: NAMES.nchan,
    protocol: 'sse',
    port,
    pids: [program.pid],
    streamPath: (event_id) => `/sub/${event_id}`,
    historyPath: (event_id) => `/all/${event_id}`,
    destination: { kind: 'http', port, path: '/pub/:event' },
    async stop() {
      await program.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
