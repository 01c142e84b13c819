import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)

test('the demo shows a token obtained, cached, renewed, repaired, proved, and served while the server is down', async () => {
  const { stdout } = await run('npm', ['run', '--silent', 'demo', '--', '--once'], {
    env: { ...process.env, NO_COLOR: undefined },
  })
  const happened = [
    'token obtained',
    'token served from memory',
    'token renewed behind the scenes, nobody waited',
    'an API refused its token',
    'goes down',
    'the token in hand still serves',
    'is back',
    'the authorization server asked for its nonce: another proof',
    'an API asked for its new nonce: another proof, and the same call again',
    ' proofs accepted, 0 of them used twice, 0 wrong',
  ]
  for (const text of happened) expect(stdout).toContain(text)
  const row = (name: string): number => Number(new RegExp(`^  ${name} +(\\d+)$`, 'm').exec(stdout)?.[1])
  expect(row('calls made')).toBeGreaterThan(100)
  expect(row('calls failed')).toBe(0)
  expect(row('token requests')).toBeGreaterThanOrEqual(5)
  expect(row('calls that waited for a token')).toBeGreaterThanOrEqual(2)
  // One at the start, and then one for each time that the nonce changed while the demo ran.
  expect(row('calls with a new nonce')).toBeGreaterThanOrEqual(3)
  // Colours are for terminals.
  expect(stdout).not.toContain('\u001b')
}, 60_000)
