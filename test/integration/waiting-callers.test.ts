import { setMaxListeners } from 'node:events'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { hang, tokenJson } from '../support/hostile-server.ts'

const CALLERS = 10_000
const DEADLINE_MS = 10_000

describe('A8.03 callers of a server that hangs', () => {
  test('A8.03 10,000 callers, every second of whom leaves: one connection, an error for each at the deadline, and the way is free after it', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = () => hang
    const tokens = manage()
    const reason = new Error('enough')
    const leaving = new AbortController()
    setMaxListeners(0, leaving.signal)
    const waiting = Array.from({ length: CALLERS }, (_, n) =>
      rejection(tokens.getToken('api', {}, { signal: n % 2 === 0 ? leaving.signal : undefined })),
    )
    await server.nextRequest()
    leaving.abort(reason)
    expect(new Set(await Promise.all(waiting.filter((_, n) => n % 2 === 0)))).toEqual(new Set([reason]))
    await clock.advance(DEADLINE_MS - 1)
    expect(clock.pending).toBe(1)
    await clock.advance(1)
    const staying = await Promise.all(waiting.filter((_, n) => n % 2 === 1))
    expect(new Set(staying.map(({ code }) => code))).toEqual(new Set(['timeout']))
    expect(server.requests).toHaveLength(1)
    expect(server.openSockets).toBeLessThanOrEqual(1)
    expect(clock.pending).toBe(0)

    server.answer = tokenJson()
    expect((await tokens.getToken('api')).accessToken).toBe('token-2')
    expect(server.requests).toHaveLength(2)
  })

  test('A8.03 10,000 callers of fifty tokens: fifty requests, and none more while they hang', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = () => hang
    const tokens = manage()
    const ask = (n: number) => rejection(tokens.getToken('api', { partition: String(n % 50) }))
    const waiting = Array.from({ length: CALLERS }, (_, n) => ask(n))
    await expect.poll(() => server.requests.length).toBe(50)
    const late = Array.from({ length: CALLERS }, (_, n) => ask(n))
    await clock.advance(DEADLINE_MS)
    const codes = (await Promise.all([...waiting, ...late])).map(({ code }) => code)
    expect(new Set(codes)).toEqual(new Set(['timeout']))
    expect(server.requests).toHaveLength(50)
    // Node lets go of what was aborted some seconds later.
    await expect.poll(() => server.openSockets, { timeout: 15_000 }).toBe(0)
  })

  test('A8.03 2,000 different tokens: a hundred connections, and an error for each caller at the deadline', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = () => hang
    const tokens = manage()
    const waiting = Array.from({ length: 2000 }, (_, n) => rejection(tokens.getToken('api', { partition: String(n) })))
    await expect.poll(() => server.requests.length).toBe(100)
    await clock.advance(DEADLINE_MS)
    const codes = (await Promise.all(waiting)).map(({ code }) => code)
    expect(new Set(codes)).toEqual(new Set(['timeout']))
    expect(server.requests).toHaveLength(100)
  })
})
