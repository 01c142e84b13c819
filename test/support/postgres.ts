import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { freePort } from '../../demo/free-port.ts'

/** A real server of this test alone: database and user are `postgres`, and nobody asks for a password. */
export interface PostgresServer {
  readonly port: number
  readonly url: string
  /** Ends the processes at once, as a crash does; what was committed is still there. */
  kill(): Promise<void>
  /** Starts it again on the same port. */
  start(): Promise<void>
  /** Ends the server and removes its folder. */
  stop(): Promise<void>
}

const DEBIAN = '/usr/lib/postgresql'
const folderOfPrograms = findPrograms()

/** Whether this machine has a server to start. */
export const hasPostgres: boolean = folderOfPrograms !== undefined

/** Debian keeps them out of the path, in a folder for each version. */
function findPrograms(): string | undefined {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).map((version) => join(DEBIAN, version, 'bin')) : []
  const folders = [...versions, ...(process.env.PATH ?? '').split(':')]
  return folders.find((folder) => ['initdb', 'postgres'].every((program) => existsSync(join(folder, program))))
}

/** Starts a server on a free port, in a temporary folder, which waits for no disk. */
export async function startPostgres(): Promise<PostgresServer> {
  if (folderOfPrograms === undefined) {
    throw new Error('postgres: expected a program of that name, got none; `npm run setup` installs it')
  }
  const [initdb, postgres] = [join(folderOfPrograms, 'initdb'), join(folderOfPrograms, 'postgres')]
  const folder = mkdtempSync(join(tmpdir(), 'evertoken-postgres-'))
  const owner = ownerOfServers()
  if (owner !== undefined) chownSync(folder, owner.uid, owner.gid)
  const settings: SpawnOptions = { ...owner, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] }
  const made = ['-D', join(folder, 'data'), '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale', 'C', '--no-sync']
  execFileSync(initdb, made, { ...owner, cwd: folder, stdio: 'pipe' })
  const port = await freePort()
  const listening = ['-D', join(folder, 'data'), '-p', String(port), '-k', folder, '-c', 'listen_addresses=127.0.0.1']
  const fast = ['-c', 'fsync=off', '-c', 'full_page_writes=off', '-c', 'log_min_messages=log']
  let child: ChildProcess | undefined

  async function start(): Promise<void> {
    child = spawn(postgres, [...listening, ...fast], settings)
    await untilReady(child)
  }
  async function kill(): Promise<void> {
    const ending = child
    child = undefined
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
    const ended = once(ending, 'exit')
    // SIGQUIT: all its processes end without a word and without tidying up.
    ending.kill('SIGQUIT')
    await ended
  }
  await start()
  return {
    port,
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    kill,
    start,
    async stop() {
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** The server refuses to run as root, so it runs as whom Debian made for it, or as nobody. */
function ownerOfServers(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const idOf = (flag: string, user: string): number =>
    Number(execFileSync('id', [flag, user], { encoding: 'utf8', stdio: 'pipe' }))
  try {
    return { uid: idOf('-u', 'postgres'), gid: idOf('-g', 'postgres') }
  } catch {
    return { uid: idOf('-u', 'nobody'), gid: idOf('-g', 'nobody') }
  }
}

async function untilReady({ stderr }: ChildProcess): Promise<void> {
  if (stderr === null) throw new Error('postgres: expected its output, got none')
  const lines: string[] = []
  for await (const line of createInterface({ input: stderr })) {
    lines.push(line)
    if (!line.includes('ready to accept connections')) continue
    // Read on, lest a full pipe should hold the server up.
    stderr.resume()
    return
  }
  throw new Error(`postgres: expected it to start, got an exit: ${lines.join('\n')}`)
}
