import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const source = (path: string): string => fileURLToPath(new URL(`src/${path}`, import.meta.url))

/** Those that take longest, by their names: begun last they would be waited for alone. */
const LONG = ['user-schedules', 'simulation', 'bounds', 'user-processes', 'redis-lock', 'postgres-lock', 'file-lock']

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONG.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`))
      return at === -1 ? LONG.length : at
    }
    return sorted.toSorted((one, other) => rank(one) - rank(other))
  }
}

export default defineConfig({
  resolve: {
    alias: [
      { find: /^evertoken\/(.+)$/, replacement: source('$1/index.ts') },
      { find: /^evertoken$/, replacement: source('index.ts') },
    ],
  },
  test: {
    globalSetup: ['test/support/build-once.ts'],
    testTimeout: 30_000,
    sequence: { sequencer: LongestFirst },
    dangerouslyIgnoreUnhandledErrors: false,
    // A snapshot that is missing fails like one that differs; `--update` writes both.
    update: 'none',
    projects: [
      {
        extends: true,
        // They count and time what a fleet does: nothing else runs meanwhile. Within the file they run at the same time, and mostly wait.
        test: { name: 'chaos', include: ['test/chaos/**/*.test.ts'], maxConcurrency: 8, sequence: { groupOrder: 1 } },
      },
      {
        extends: true,
        test: {
          name: 'all but chaos',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: ['test/chaos/**', '**/node_modules/**'],
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
