import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import { spareOf } from './issuer.ts'
import type { Report } from './process.ts'
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
    await Promise.all(fleet.map((each) => each.call(1000)))
    const counts = await count()
    expect(counts).toHaveLength(4)
    for (const commands of counts) expect(commands.length).toBeLessThanOrEqual(MOST_COMMANDS)
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

const [THE_START, THE_END] = ['the start', 'the end']

/** Counts the commands of each connection but these two from now on; a script is one. */
async function countCommands(monitor: Redis, marker: Redis): Promise<() => Promise<readonly (readonly string[])[]>> {
  const commands = new Map<string, string[]>()
  let end = (): void => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const watching = await monitor.monitor()
  watching.on('monitor', (_at: string, [command = '', ...args]: string[], connection: string) => {
    if (args[0] === THE_START) return commands.clear()
    if (args[0] === THE_END) return end()
    if (connection !== 'lua') commands.set(connection, [...(commands.get(connection) ?? []), command.toUpperCase()])
  })
  watching.on('error', () => {})
  await marker.echo(THE_START)
  return async () => {
    await marker.echo(THE_END)
    await ended
    watching.disconnect()
    return [...commands.values()]
  }
}
