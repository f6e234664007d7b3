// Pictures in memory that a canvas draws.

const COARSE = 600000;

/** Every so manyth pixel of a film, about as many as a screen has. */
export function coarse({ width, height }, levels) {
  const step = Math.max(Math.floor(Math.sqrt((width * height) / COARSE)), 1), middle = step >> 1;
  const wide = Math.ceil(width / step), tall = Math.ceil(height / step), some = new Uint16Array(wide * tall);
  for (let row = 0; row < tall; row++) {
    const line = Math.min(row * step + middle, height - 1) * width;
    for (let column = 0; column < wide; column++) some[row * wide + column] = levels[line + Math.min(column * step + middle, width - 1)];
  }
  return { canvas: surface(wide, tall), levels: some, step };
}

/** In the film's pixels. */
export const drawCoarse = (context, { canvas, step }) => context.drawImage(canvas, 0, 0, step * canvas.width, step * canvas.height);

export function surface(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

export function paint(canvas, values, put) {
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let at = 0; at < pixels.length; at++) put(pixels, at, values[at]);
  context.putImageData(image, 0, 0);
}
