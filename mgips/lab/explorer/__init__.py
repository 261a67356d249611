"""The explorer's engine: MGIPS in plain JavaScript, one function for each equation, in a browser's worker or in node.

    weights.js      model.safetensors to numbers        tokenizer.js    words to pieces
    algebra.js      products, norms, softmax            pictures.js     a picture's crops, as Pillow makes them
    model.js        the equations, §3.1 to §3.5         explorer.js     load, run, pool, gallery
    worker.js       the same behind messages            pack.py         the data that a page needs

It reads the files that a saved model has, and computes what PyTorch computes; what it does not compute it refuses by name.
"""
