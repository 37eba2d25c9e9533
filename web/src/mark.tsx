// Drawings.

/** A bonsai: trunk, three pads of leaves, pot. */
export function Mark({ size }: { size: number }) {
  return (
    <svg class="mark" viewBox="0 0 64 64" width={size} height={size} aria-hidden="true">
      <path
        class="trunk"
        d="M30 51c-1-4 4-8 3.500-13-.600-6-7-8-8.500-18M33.500 37c3.500-.500 8-3 11-7.500M32.500 42c-4.500.500-10.500-2-14.500-8"
      />
      <g class="leaves">
        <path d="M9 19c0-4.500 4-6 7-6.500C17.500 9 21 7 25 7.500c4 .3 6 2.500 7.500 4.500 4 .2 6.500 3 6.500 6.500 0 2-1.500 3-3.500 3h-23C10 21.500 9 20.500 9 19z" />
        <path d="M36 30.500c0-3 2.200-4.500 4.800-4.800 1.200-2.200 3.400-3.300 6-3.200 3 .1 4.800 1.600 5.700 3.300 2.500.3 4.500 2 4.500 4.500 0 1.500-1 2.200-2.500 2.200h-16c-1.500 0-2.500-.7-2.500-2z" />
        <path d="M6 35c0-2.600 2-3.900 4.200-4.100 1.100-2 3-2.900 5.300-2.800 2.500.1 4.200 1.300 5 2.800 2.200.3 3.900 1.800 3.900 3.900 0 1.400-.8 2.200-2.200 2.200H8.300C6.900 37 6 36.200 6 35z" />
      </g>
      <path class="pot" d="M13 51h38v3.500h-2.500L46 60.500H18l-2.500-6H13z" />
    </svg>
  );
}

const PATHS = {
  menu: 'M3 5.500h14M3 10h9M3 14.500h14',
  send: 'M10 16.500v-13M4.500 9 10 3.500 15.500 9',
  stop: 'M5.500 5.500h9v9h-9z',
  down: 'M10 3.500v13M4.500 11l5.500 5.500 5.500-5.500',
};

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
