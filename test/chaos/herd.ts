import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import type { Report } from '../support/fleet-process.ts'
import { spareOf } from './issuer.ts'
import { missesOf, reportsOf, test } from './scene.ts'

/** Commands that a cold start may cost each process. */
const MOST_COMMANDS = 4
const LIFETIMES = 20

/** Many processes that want one token. */
export function herdScenarios(): void {
  test('C5 M12 expiry under load: one token request for each of 20 lifetimes', async ({ stage }) => {
    const { issuer, start } = await stage({ lifetimeMs: 3000 })
    const fleet = await start(4)
    for (const each of fleet) await each.load(25)
    await issuer.until(LIFETIMES + 1)
    for (const each of fleet) await each.rest()
    const reports = await reportsOf(fleet)
    expect(reports.map(({ failures }) => failures)).toEqual([{}, {}, {}, {}])
    expect(reports.flatMap(({ tokens }) => issuer.wrong(tokens, ['a']))).toEqual([])
    expect(spareOf(issuer.requests, issuer.lifetimeMs).length).toBeLessThanOrEqual(missesOf(reports))
  }, 180_000)

  test('C5 F5.18 a cold herd of 4 processes, 10,000 calls each: one token request', async ({ stage }) => {
    const { issuer, start } = await stage()
    const fleet = await start(4)
    const reports = await Promise.all(fleet.map((each) => each.call(10_000)))
    expect(reports.map(outcomeOf)).toEqual(Array(4).fill({ calls: 10_000, failures: {} }))
    expect(reports.flatMap(({ tokens }) => issuer.wrong(tokens, ['a']))).toEqual([])
    expect(issuer.requests.length).toBeLessThanOrEqual(1 + missesOf(await reportsOf(fleet)))
  }, 60_000)

  test('C5 a cold herd costs each process four commands at the most', async ({ stage }) => {
    const { connect, start } = await stage()
    const fleet = await start(4)
    const count = await countCommands(connect(), connect())
    // Whoever waits looks again after a pause, so the server has to be quicker than that: on a busy machine not at the first attempt.
    const most: number[] = []
    for (let n = 0; n < 20 && !most.some((commands) => commands <= MOST_COMMANDS); n++) {
      await count()
      await Promise.all(fleet.map((each) => each.call(1000, { partition: `cold ${n}` })))
      const counts = await count()
      expect(counts).toHaveLength(4)
      most.push(Math.max(...counts.map((commands) => commands.length)))
    }
    expect(Math.min(...most)).toBeLessThanOrEqual(MOST_COMMANDS)
  }, 60_000)

  test('C5 F8.04 worker threads of one process: one token request', async ({ stage }) => {
    const { issuer, start } = await stage()
    const threads = await start(4, { areThreads: true })
    const reports = await Promise.all(threads.map((each) => each.call(1000)))
    expect(reports.map(outcomeOf)).toEqual(Array(4).fill({ calls: 1000, failures: {} }))
    expect(reports.flatMap(({ tokens }) => issuer.wrong(tokens, ['a']))).toEqual([])
    expect(issuer.requests.length).toBeLessThanOrEqual(1 + missesOf(await reportsOf(threads)))
  }, 60_000)

  test('C7 F6.12 fifty refusals spread over 4 processes, some of them late: one renewal', async ({ stage }) => {
    const { issuer, start } = await stage()
    const fleet = await start(4)
    await Promise.all(fleet.map((each) => each.call(1)))
    const [{ token } = { token: '' }] = issuer.requests.slice(-1)
    const before = issuer.requests.length
    issuer.revoke(token, issuer.until(before + 1))
    const reports = await Promise.all(fleet.map((each, at) => each.call(at < 2 ? 13 : 12, { via: 'fetch' })))
    expect(reports.map(({ failures }) => failures)).toEqual([{}, {}, {}, {}])
    const misses = missesOf(await reportsOf(fleet))
    if (misses === 0) expect(issuer.refusals).toHaveLength(50)
    expect(issuer.requests.length - before).toBeLessThanOrEqual(1 + misses)
    // Whoever comes later finds the new one.
    await Promise.all(fleet.map((each) => each.call(1, { via: 'fetch' })))
    expect(issuer.requests.length - before).toBeLessThanOrEqual(1 + misses)
  }, 60_000)
}

function outcomeOf({ calls, failures }: Report): object {
  return { calls, failures }
}

/** Gives the commands of each connection but these two since the last time; a script is one. */
async function countCommands(monitor: Redis, marker: Redis): Promise<() => Promise<readonly (readonly string[])[]>> {
  let commands = new Map<string, string[]>()
  let marks = 0
  let tell = (_counted: typeof commands): void => {}
  const watching = await monitor.monitor()
  watching.on('error', () => {})
  watching.on('monitor', (_at: string, [command = '', ...args]: string[], connection: string) => {
    if (args[0] === `mark ${marks}`) {
      tell(commands)
      commands = new Map()
    } else if (connection !== 'lua') {
      commands.set(connection, [...(commands.get(connection) ?? []), command.toUpperCase()])
    }
  })
  return async () => {
    const counted = new Promise<typeof commands>((resolve) => {
      tell = resolve
    })
    // Whatever was sent before is seen before this is.
    await marker.echo(`mark ${++marks}`)
    return [...(await counted).values()]
  }
}
