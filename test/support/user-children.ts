import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** What came of one call of a user in another process. */
export interface Answered {
  readonly user: string
  readonly token?: string
  readonly error?: string
  readonly reason?: string
  readonly message?: string
}

/** What another process says, a line each. */
export interface Said {
  readonly answered?: readonly Answered[]
  readonly ended?: string
  readonly closing?: boolean
  readonly closed?: boolean
  readonly error?: string
}

/** What another process is told to do. */
export interface Command {
  readonly users?: readonly string[]
  readonly calls?: number
  /** Ends the session of the users. */
  readonly end?: 'signOut' | 'revoke'
  /** Throws something that nobody catches. */
  readonly fault?: string
}

/** A process whose users have sessions. */
export interface Running {
  readonly child: ChildProcess
  tell(command: Command): void
  next(): Promise<Said>
}

const program = fileURLToPath(new URL('programs/user-process.mjs', import.meta.url))

/** Starts one at a server, given its token endpoint or its issuer; the other arguments say where sessions are and what is shared. */
export async function startUserProcess(server: string, args: readonly string[]): Promise<Running> {
  const child = spawn(process.execPath, [program, server, ...args], { stdio: ['pipe', 'pipe', 'ignore'] })
  const lines: string[] = []
  const reader = createInterface({ input: child.stdout }).on('line', (line) => lines.push(line))
  const next = async (): Promise<Said> => {
    if (lines.length === 0) await Promise.race([once(reader, 'line'), once(reader, 'close')])
    return JSON.parse(lines.shift() ?? '{"error":"nothing more"}')
  }
  await next()
  return { child, next, tell: (command) => void child.stdin.write(`${JSON.stringify(command)}\n`) }
}
