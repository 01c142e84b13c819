import { type ExecFileException, execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../../demo/free-port.ts'
import { root } from '../support/manifest.ts'
import { hasRedis, startRedis } from '../support/redis.ts'

const run = promisify(execFile)
const isMissing = !hasRedis && process.env.CI === undefined

interface Ended {
  readonly code: unknown
  readonly stdout: string
  readonly stderr: string
}

/** Runs the demo as it was compiled. */
async function demo(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  try {
    const ended = await run(process.execPath, [`${root}build/demo/main.js`, ...args], {
      env: { ...process.env, REDIS_URL: undefined, NO_COLOR: undefined, ...env },
    })
    return { code: 0, ...ended }
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as ExecFileException
    return { code, stdout, stderr }
  }
}

/** A number of the summary. */
function row(stdout: string, name: string): number {
  return Number(new RegExp(`^  ${name} +(\\d+)$`, 'm').exec(stdout)?.[1])
}

beforeAll(async () => {
  await run(process.execPath, [`${root}node_modules/typescript/bin/tsc`, '-b', 'tsconfig.demo.json'], { cwd: root })
}, 120_000)

describe.skipIf(isMissing)('the demo of a fleet', () => {
  test.concurrent('C5 C7 C6 C2 four workers share tokens through a Redis that is started, killed and started again', async () => {
    const { code, stdout } = await demo(['--fleet', '4', '--once'])
    const happened = [
      /Redis +at redis:\/\/127\.0\.0\.1:\d+$/m,
      /worker \d +token obtained$/m,
      /workers \d, \d, \d +found that token in Redis$/m,
      /authorization server +1 token request for 4 workers$/m,
      /worker \d +token renewed behind the scenes, nobody waited$/m,
      /catalog API +refuses the token in use, to 50 calls at the same time$/m,
      /catalog API +has refused \d+, and got each of them once more with another token$/m,
      /authorization server +1 token request after 50 refusals$/m,
      /worker \d +asks for a token, and is killed before the answer$/m,
      /authorization server +2 token requests for 3 workers and the one that was killed$/m,
      /worker 5 +starts, and finds the token in Redis$/m,
      /Redis +is killed$/m,
      /worker \d +Redis does not answer: asks for itself$/m,
      /authorization server +[1-4] token requests? for 4 workers$/m,
      /Redis +is back, with nothing in it$/m,
      /worker \d +shares tokens again$/m,
    ]
    for (const line of happened) expect(stdout).toMatch(line)
    // At the start, at a renewal, and at the one after Redis has come back.
    expect(stdout.match(/1 token request for 4 workers/g)?.length).toBeGreaterThanOrEqual(3)
    expect(Number(/has refused (\d+)/.exec(stdout)?.[1])).toBeGreaterThanOrEqual(50)
    expect(row(stdout, 'calls made')).toBeGreaterThan(300)
    expect(row(stdout, 'calls failed')).toBe(0)
    // One at each of four times, two where one was killed, and at most one for each worker while Redis was down.
    expect(row(stdout, 'token requests')).toBeLessThanOrEqual(1 + 1 + 1 + 2 + 4 + 1)
    expect(stdout).not.toContain('\u001b')
    expect(code).toBe(0)
  }, 60_000)

  test.concurrent('a Redis that REDIS_URL names is used and left as it was', async () => {
    const redis = await startRedis()
    await redis.command('SET', 'of-somebody-else', 'untouched')
    const { code, stdout } = await demo(['--fleet', '2', '--once'], { REDIS_URL: `redis://127.0.0.1:${redis.port}` })
    const keys = await redis.command('KEYS', '*')
    const value = await redis.command('GET', 'of-somebody-else')
    await redis.stop()
    expect(stdout).toMatch(/Redis +the one that REDIS_URL names$/m)
    expect(stdout).toMatch(/authorization server +1 token request for 2 workers$/m)
    expect(stdout).toMatch(/Redis +is not the demo’s own, and stays up$/m)
    expect(row(stdout, 'calls failed')).toBe(0)
    expect(code).toBe(0)
    expect(value).toBe('untouched')
    for (const key of keys as string[]) expect(key).toMatch(/^(of-somebody-else$|evertoken-demo-[0-9a-f]{12}:)/)
  }, 60_000)
})

describe('the demo of a fleet does not start', () => {
  test('where there is no Redis to start or to reach, and says so in one line without the URL', async () => {
    const none = await demo(['--fleet', '4', '--once'], { PATH: '' })
    expect(none).toEqual({
      code: 3,
      stdout: '',
      stderr: '--fleet: expected a program redis-server to start, or REDIS_URL to name a Redis, got neither\n',
    })
    const url = `redis://user:a-password@127.0.0.1:${await freePort()}`
    const unreachable = await demo(['--fleet', '4', '--once'], { REDIS_URL: url })
    expect(unreachable).toEqual({
      code: 3,
      stdout: '',
      stderr: '--fleet: expected the Redis that REDIS_URL names to answer, got ECONNREFUSED\n',
    })
  })

  test.each([
    [['--fleet'], '--fleet: expected a number of workers from 2 to 16, got none\n'],
    [['--fleet', '--once'], '--fleet: expected a number of workers from 2 to 16, got none\n'],
    [['--fleet=', '--once'], '--fleet: expected a number of workers from 2 to 16, got \n'],
    [['--fleet', 'four'], '--fleet: expected a number of workers from 2 to 16, got four\n'],
    [['--fleet', '1'], '--fleet: expected a number of workers from 2 to 16, got 1\n'],
    [['--fleet', '17'], '--fleet: expected a number of workers from 2 to 16, got 17\n'],
    [['--fleet', '2.5'], '--fleet: expected a number of workers from 2 to 16, got 2.5\n'],
    [['--onec'], 'expected --once and --fleet with a number of workers from 2 to 16, got --onec\n'],
    [['4'], 'expected --once and --fleet with a number of workers from 2 to 16, got 4\n'],
  ])('with %j', async (args, stderr) => {
    expect(await demo(args)).toEqual({ code: 2, stdout: '', stderr })
  })
})
