import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect } from 'vitest'
import { test } from './fixtures.ts'
import type { Answer } from './hostile-server.ts'
import {
  afterInterimAnswers,
  createDrip,
  createFlood,
  cutInBody,
  garbage,
  http10,
  redirectTo,
  shorterThanItsLength,
  withTrailers,
} from './wire-faults.ts'

const BODY = '{"a":"b"}'
const MEBIBYTE = 2 ** 20

describe('answers that a client has to live with', () => {
  const rows: readonly { readonly name: string; readonly answer: Answer; readonly onTheWire: RegExp }[] = [
    { name: 'HTTP/1.0', answer: http10(BODY), onTheWire: /^HTTP\/1\.0 200 OK\r\n(?!.*content-length)/s },
    { name: 'trailers', answer: withTrailers(BODY), onTheWire: /\r\n0\r\nx-trailer: behind the body\r\n/ },
    {
      name: 'interim answers',
      answer: afterInterimAnswers(BODY),
      onTheWire: /^HTTP\/1\.1 103.*1\.1 102.*1\.1 200/s,
    },
  ]
  for (const { name, answer, onTheWire } of rows) {
    test(`${name}: fetch reads the body, and the bytes are as promised`, async ({ server }) => {
      server.answer = () => answer
      expect(await (await fetch(server.origin)).text()).toBe(BODY)
      const socket = connect(Number(new URL(server.origin).port), '127.0.0.1')
      socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
      expect(await text(socket)).toMatch(onTheWire)
    })
  }
})

describe('answers that break off', () => {
  const rows: readonly { readonly name: string; readonly answer: Answer; readonly cause: object }[] = [
    { name: 'garbage', answer: garbage, cause: { name: 'HTTPParserError' } },
    {
      name: 'a reset in mid body',
      answer: cutInBody(BODY),
      cause: { code: expect.stringMatching(/^(ECONNRESET|UND_ERR_SOCKET)$/) },
    },
    {
      name: 'a body shorter than its length',
      answer: shorterThanItsLength(BODY),
      cause: { code: expect.stringMatching(/^UND_ERR_/) },
    },
  ]
  for (const { name, answer, cause } of rows) {
    test(`${name}: fetch fails`, async ({ server }) => {
      server.answer = () => answer
      const failing = fetch(server.origin).then((response) => response.text())
      await expect(failing).rejects.toMatchObject({ cause })
    })
  }

  test('a redirect names its target', async ({ server }) => {
    server.answer = () => redirectTo('https://elsewhere.example/', 307)
    const { status, headers } = await fetch(server.origin, { redirect: 'manual' })
    expect([status, headers.get('location')]).toEqual([307, 'https://elsewhere.example/'])
  })
})

describe('a drip', () => {
  test('lets one byte go at a time', async ({ server }) => {
    const drip = createDrip('ab')
    expect(drip.drop()).toBe(false)
    server.answer = () => drip.answer
    const reader = (await fetch(server.origin)).body?.getReader()
    const read = async () => Buffer.from((await reader?.read())?.value ?? '').toString()
    drip.drop()
    expect(await read()).toBe('a')
    drip.drop()
    expect(await read()).toBe('b')
    expect(await read()).toBe('')
    expect(drip.drop()).toBe(false)
  })
})

describe('a flood', () => {
  test('stops when the client goes away', async ({ server }) => {
    const flood = createFlood(300 * MEBIBYTE)
    server.answer = () => flood.answer
    const socket = connect(Number(new URL(server.origin).port), '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await once(socket, 'data')
    socket.destroy()
    await expect.poll(() => server.openSockets).toBe(0)
    expect(flood.sentBytes).toBeLessThan(64 * MEBIBYTE)
  })

  test('small on the wire when it is a bomb', async ({ server }) => {
    const flood = createFlood(8 * MEBIBYTE, { gzip: true })
    server.answer = () => flood.answer
    const socket = connect(Number(new URL(server.origin).port), '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    let onTheWire = 0
    socket.on('data', (chunk) => {
      onTheWire += chunk.length
    })
    await once(socket, 'close')
    expect(onTheWire).toBeLessThan(MEBIBYTE / 16)
    expect((await (await fetch(server.origin)).text()).trim()).toBe('{}')
    expect(flood.sentBytes).toBe(8 * MEBIBYTE)
  })
})
