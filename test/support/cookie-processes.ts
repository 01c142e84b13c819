import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** A process of an application whose sessions are in cookies; what it answers is told in the program itself. */
export interface CookieProcess {
  readonly child: ChildProcess
  readonly url: string
}

/** What such processes have in common. */
export interface CookieProcessOptions {
  readonly tokenEndpoint: string
  /** Of a Redis on this machine. */
  readonly redisPort: number
  /** That cookies are encrypted with, and what is in Redis: 32 bytes, base64url. */
  readonly key: string
}

const program = fileURLToPath(new URL('programs/cookie-process.mjs', import.meta.url))

/** Starts one, and waits until it listens. */
export async function startCookieProcess(options: CookieProcessOptions): Promise<CookieProcess> {
  const { tokenEndpoint, redisPort, key } = options
  const args = [program, tokenEndpoint, String(redisPort), key]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const reader = createInterface({ input: child.stdout })
  const [url] = await Promise.race([once(reader, 'line'), once(reader, 'close')])
  if (url === undefined) throw new Error('expected a process that listens, got one that ended')
  return { child, url: String(url) }
}
