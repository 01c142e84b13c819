import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Redis } from 'ioredis'
import { type Figure, median } from './figures.ts'
import { type Loopback, programPath, startLoopback } from './loopback.ts'
import { connect, oneKey, startRedis } from './redis-server.ts'
import { interleaved, ratios } from './rounds.ts'

const PROCESSES = 4
const TURNS = 21
/** Round trips of one process, by the promise. */
const MOST_COMMANDS = 4

/** Four processes that start together, 10,000 callers in each, beside one process alone: with a token endpoint that answers at once, and with one that takes its time. */
export async function fleetCold(): Promise<readonly Figure[]> {
  return [...(await coldStarts(0)), ...(await coldStarts(100))]
}

async function coldStarts(delayMs: number): Promise<readonly Figure[]> {
  const loopback = await startLoopback({ delayMs })
  const redis = await startRedis()
  const monitor = await watchCommands(await connect(redis.port))
  const key = String(oneKey().keys[0]?.key)
  const args = (port: number): string[] => [loopback.tokenEndpoint, String(port), key]
  const [alone, ...fleet] = await Promise.all([
    startMember(args(0)),
    ...Array.from({ length: PROCESSES }, () => startMember(args(redis.port))),
  ])
  const most = { requests: 0, commands: 0 }
  let rounds = 0

  async function together(): Promise<number> {
    const requests = await loopback.tokenRequests()
    const round = `round-${++rounds}`
    const ports = await Promise.all(fleet.map((member) => member.prepare(round)))
    monitor.clear()
    const times = await Promise.all(fleet.map((member) => member.go()))
    await monitor.settled()
    for (const own of ports) most.commands = Math.max(most.commands, monitor.countFrom(own))
    most.requests = Math.max(most.requests, (await loopback.tokenRequests()) - requests)
    return Math.max(...times)
  }
  const times = await interleaved(
    {
      ours: together,
      floor: async () => {
        await alone.prepare('alone')
        return alone.go()
      },
    },
    { turns: TURNS, warmUps: 3 },
  )
  for (const member of [alone, ...fleet]) member.end()
  await end(monitor, loopback)
  await redis.stop()
  return figuresOf(`${PROCESSES} x 10,000 cold, endpoint of ${delayMs} ms`, { most, times })
}

async function end(monitor: CommandWatch, loopback: Loopback): Promise<void> {
  monitor.end()
  await loopback.close()
}

interface Measured {
  readonly most: { readonly requests: number; readonly commands: number }
  readonly times: { readonly ours: readonly number[]; readonly floor: readonly number[] }
}

function figuresOf(what: string, { most, times }: Measured): readonly Figure[] {
  const milliseconds = (numbers: readonly number[]): string => `${median(numbers).toFixed(1)} ms`
  return [
    {
      what: `${what}: token requests`,
      ours: String(most.requests),
      floor: '1',
      limit: '1',
      isWithin: most.requests === 1,
    },
    {
      what: `${what}: commands of one process`,
      ours: String(most.commands),
      limit: String(MOST_COMMANDS),
      isWithin: most.commands <= MOST_COMMANDS,
    },
    {
      what: `${what}: until all have it`,
      ours: milliseconds(times.ours),
      floor: milliseconds(times.floor),
      ratio: median(ratios(times.ours, times.floor)),
      limit: 'a peer',
      isWithin: true,
    },
  ]
}

/** A process with a manager, made anew for each round. */
interface Member {
  /** Gives the ports that its connections to Redis have on its side. */
  prepare(round: string): Promise<readonly number[]>
  /** Lets all its callers come, and gives the time until the last one was served. */
  go(): Promise<number>
  end(): void
}

async function startMember(args: readonly string[]): Promise<Member> {
  const child: ChildProcess = fork(programPath('fleet-member'), args)
  await once(child, 'message')
  async function ask<T>(text: string): Promise<T> {
    const answered = once(child, 'message')
    child.send(text)
    const [answer] = await answered
    return answer as T
  }
  return {
    async prepare(round) {
      const { ports } = await ask<{ readonly ports: readonly number[] }>(round)
      return ports
    },
    async go() {
      const { ms } = await ask<{ readonly ms: number }>('go')
      return ms
    },
    end: () => void child.kill(),
  }
}

/** What Redis itself tells of the commands that reach it. */
interface CommandWatch {
  clear(): void
  /** Resolves when the commands until now have been told of. */
  settled(): Promise<void>
  /** How many came over these ports, the one that subscribes apart: nobody waits for that. */
  countFrom(ports: readonly number[]): number
  end(): void
}

async function watchCommands(client: Redis): Promise<CommandWatch> {
  const monitor = await client.monitor()
  let marks = 0
  let commands: { readonly name: string; readonly text: string; readonly source: string }[] = []
  monitor.on('monitor', (_time: string, args: readonly string[], source: string) => {
    const [name = '', text = ''] = args
    commands.push({ name: name.toUpperCase(), text, source })
  })
  return {
    clear() {
      commands = []
    },
    async settled() {
      const mark = `mark-${++marks}`
      await client.echo(mark)
      while (!commands.some(({ text }) => text === mark)) await once(monitor, 'monitor')
    },
    countFrom: (ports) =>
      commands.filter(({ name, source }) => name !== 'SUBSCRIBE' && ports.some((port) => source.endsWith(`:${port}`)))
        .length,
    end() {
      monitor.disconnect()
      client.disconnect()
    },
  }
}
