import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { freePort } from './free-port.ts'

/** A Redis of one's own, on a port that it keeps while it goes and comes back. */
export interface RedisServer {
  readonly port: number
  /** Ends the process at once, as `kill -9` does; what it held is gone. */
  kill(): Promise<void>
  /** Starts it again on the same port. */
  start(): Promise<void>
  /** Stops it in its tracks: connections stay, answers do not come. */
  pause(): void
  resume(): void
  /** Ends the server and removes its folder. */
  stop(): Promise<void>
}

/** Whether this machine has a server to start. */
export function hasRedisServer(): boolean {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}

/** Starts a server on a free port, in a temporary folder, that writes nothing to disk but what a cluster or Sentinel must. */
export async function startRedisServer(...settings: readonly string[]): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'evertoken-redis-'))
  const config = join(folder, 'redis.conf')
  writeFileSync(config, settings.includes('--sentinel') ? '' : 'save ""\nappendonly no\n')
  const port = await freePort()
  let child: ChildProcess | undefined

  async function start(): Promise<void> {
    const args = [config, '--port', String(port), '--bind', '127.0.0.1', '--dir', folder, ...settings]
    child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'ignore'] })
    await untilReady(child)
  }
  async function kill(): Promise<void> {
    const ending = child
    child = undefined
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
    const ended = once(ending, 'exit')
    ending.kill('SIGKILL')
    await ended
  }
  await start()
  return {
    port,
    kill,
    start,
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    async stop() {
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function untilReady(child: ChildProcess): Promise<void> {
  if (child.stdout === null) throw new Error('redis-server: expected its output, got none')
  for await (const line of createInterface(child.stdout)) {
    if (!/Ready to accept connections|Sentinel ID is/.test(line)) continue
    // Read on, lest a full pipe should hold the server up.
    child.stdout.resume()
    return
  }
  throw new Error('redis-server: expected it to start, got an exit')
}
